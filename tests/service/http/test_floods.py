"""Limits of one connection: bodies in tiny pieces, requests ahead of their answers, answers that nobody reads."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from service.settings import Settings
from tests.service.adapters import Made, make
from tests.service.gate import until
from tests.service.live import PATIENCE, Live, serving
from tests.service.wire import Reply, ask, chunked, read, request, send

PREDICT_KEY, MANAGE_KEY = "floods-predict-key-1", "floods-manage-key-01"
PREDICT = "/v1/tasks/cats/predict"
FILE = request("GET", "/v1/tasks/large/versions/1/file", f"Authorization: Bearer {MANAGE_KEY}")
LIVE = request("GET", "/health/live")
TASKS = request("GET", "/v1/tasks/cats", f"Authorization: Bearer {PREDICT_KEY}", "Padding: " + "x" * 2000)


@pytest.fixture(scope="module")
def guarded(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with keys, one download at a time, and little patience with those who do not read."""
    settings = Settings.model_validate(
        {
            "store": str(tmp_path_factory.mktemp("guarded") / "store.db"),
            "predict_key": PREDICT_KEY,
            "manage_key": MANAGE_KEY,
            "downloads": 1,
            "write_seconds": 0.5,
            "least_rate": 1024,
            "request_seconds": PATIENCE,
        }
    )
    with serving(settings, {"cats": made["cats"], "large": make(9, classes=5000)}) as server:
        yield server


def chunks(live: Live, size: int, count: int, *headers: str) -> Reply:
    head = request("POST", PREDICT, "Transfer-Encoding: chunked", *headers)
    return ask(live, head, chunked(b"x" * size) * count + b"0\r\n\r\n")


def test_a_body_in_tiny_chunks_is_refused_and_one_in_small_chunks_is_read(guarded: Live) -> None:
    key = f"Authorization: Bearer {PREDICT_KEY}"
    tiny = chunks(guarded, 1, 5000, key)
    assert (tiny.status, tiny.code, tiny.closed) == (400, "malformed_request", True)
    assert (chunks(guarded, 1, 100, key).status, chunks(guarded, 64, 5000, key).status) == (415, 415)


def test_pieces_are_counted_whatever_the_framing(guarded: Live) -> None:
    with guarded.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send(connection, request("POST", PREDICT, f"Authorization: Bearer {PREDICT_KEY}", "Content-Length: 100000"))
        read_so_far = _bytes_read(guarded, connection.getsockname()[1])
        sent = 0
        while sent < 200 and not _readable(connection):
            send(connection, b"x")
            sent += 1
            _until_taken(connection, sent, read_so_far)  # else several would come as one piece
        assert sent < 200
        assert read(connection).status == 400


def _until_taken(connection: socket.socket, count: int, read_so_far: Callable[[], int]) -> None:
    until(lambda: read_so_far() == count or _readable(connection))


def _readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def _bytes_read(live: Live, port: int) -> Callable[[], int]:
    """How many bytes of a body the server has read from this client's port."""

    def found() -> list[Any]:
        connections: Any = list(live.server.server_state.connections)
        return [each.conn for each in connections if each.client and each.client[1] == port]

    until(lambda: bool(found()))
    (parser,) = found()
    return lambda: int(parser._bytes)


def test_the_rest_of_a_refused_body_costs_nothing(guarded: Live) -> None:
    with guarded.connect() as connection:
        send(connection, request("POST", PREDICT, "Transfer-Encoding: chunked"))
        assert read(connection).status == 401
        flood, start = chunked(b"x") * 1000, time.process_time()
        for _ in range(100):
            if not send(connection, flood):
                break
        assert guarded.client.get("/health/live").status_code == 200
        assert time.process_time() - start < 0.3, "100,000 chunks were parsed"


def hung_up(connection: socket.socket) -> bool:
    """Whether the server drops a connection on which nothing is read."""
    poll = select.poll()
    poll.register(connection, 0)  # errors and hang-ups alone
    return bool(poll.poll(PATIENCE * 1000))


def unread(live: Live) -> socket.socket:
    """A connection with a small window."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", live.port))
    return connection


def test_a_client_that_does_not_read_is_closed_and_holds_its_place_among_the_downloads_until_then(
    guarded: Live,
) -> None:
    with unread(guarded) as lazy, guarded.connect() as second:
        send(lazy, FILE)
        select.select([lazy], [], [], PATIENCE)  # it is being answered
        send(second, FILE)
        refused = read(second)
        assert (refused.status, refused.code) == (503, "read_backlog")
        assert hung_up(lazy)
    with guarded.connect() as third:
        send(third, FILE)
        assert read(third).status == 200


def test_a_client_that_reads_slowly_but_steadily_gets_everything(guarded: Live) -> None:
    with unread(guarded) as slow:
        send(slow, FILE.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        got, end = 0, time.monotonic() + 1.5  # three looks
        while time.monotonic() < end:
            got += len(slow.recv(8192))
            time.sleep(0.005)  # the slowness itself: nothing is waited for
        with slow.makefile("rb") as stream:
            assert got + len(stream.read()) > guarded.service.catalogue.version("large", 1)[1].size


def test_answers_that_nobody_reads_are_bounded_and_the_connection_ends(guarded: Live) -> None:
    with unread(guarded) as lazy:
        lazy.settimeout(0.2)
        sent = 0
        try:
            while sent < 2**26:
                sent += lazy.send(LIVE * 500)
        except (TimeoutError, ConnectionError):
            pass
        assert sent < 2**24
        assert hung_up(lazy)


def test_requests_ahead_of_their_answers_are_all_answered(guarded: Live) -> None:
    with guarded.connect() as connection, connection.makefile("rb") as stream:
        send(connection, LIVE * 20 + TASKS * 120)
        for number in range(140):
            assert stream.readline().startswith(b"HTTP/1.1 200")
            size = 0
            while line := stream.readline().strip():
                size = int(line.partition(b":")[2]) if line.startswith(b"content-length") else size
            assert (b"alive" in stream.read(size)) == (number < 20)


def test_requests_ahead_of_their_answers_wait_for_a_turn_that_all_connections_share(guarded: Live) -> None:
    with guarded.connect() as first, guarded.connect() as second:
        start = time.monotonic()
        for connection in (first, second):
            send(connection, TASKS * 30 + TASKS.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        for connection in (first, second):
            with connection.makefile("rb") as stream:
                assert stream.read().count(b"HTTP/1.1 200") == 31
        assert time.monotonic() - start > 0.5  # sixty turns


def test_who_sent_too_many_wrong_keys_waits_for_a_turn_and_the_others_do_not(guarded: Live) -> None:
    wrong, statuses = request("GET", "/v1/tasks/cats", "Authorization: Bearer no-such-key-00000001"), []
    with guarded.connect() as connection:
        start = time.monotonic()
        for _ in range(100):
            send(connection, wrong)
            statuses.append(read(connection).status)
        assert set(statuses) == {401, 429}
        assert time.monotonic() - start > 0.007 * statuses.count(429)
        send(connection, TASKS)
        assert read(connection).status == 200


def test_refusals_of_bodies_without_a_key_wait_for_a_turn_and_requests_with_a_key_do_not(guarded: Live) -> None:
    unpaid = request("POST", PREDICT, "Content-Length: 100000", body=b"x" * 1000)
    start = time.monotonic()
    assert [ask(guarded, unpaid).status for _ in range(8)] == [401] * 8
    assert time.monotonic() - start > 0.35  # eight turns, the first of which may have been due
    with ExitStack() as stack:
        strangers = [stack.enter_context(guarded.connect()) for _ in range(40)]
        for stranger in strangers:
            send(stranger, unpaid)
        assert ask(guarded, TASKS).status == 200
        answered, _, _ = select.select(strangers, [], [], 0)
        assert len(answered) < 40, "forty turns of strangers came first"
        assert {read(stranger).status for stranger in strangers} == {401}


@pytest.fixture(scope="module")
def narrow(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with keys that reads 2 MiB of large bodies a second, and is impatient."""
    store = str(tmp_path_factory.mktemp("narrow") / "store.db")
    rate = {"large_body_rate": 2 * 2**20, "body_seconds": 0.5, "body_most_seconds": 20.0, "least_rate": 2**23}
    keys = {"predict_key": PREDICT_KEY, "manage_key": MANAGE_KEY}
    with serving(Settings.model_validate({"store": store, **rate, **keys}), {"cats": made["cats"]}) as server:
        yield server


def test_large_bodies_are_read_at_a_rate_and_their_clients_are_not_blamed_for_it(narrow: Live) -> None:
    key = f"Authorization: Bearer {PREDICT_KEY}"

    def seconds(size: int) -> float:
        start = time.monotonic()
        reply = ask(narrow, request("POST", PREDICT, key, f"Content-Length: {size}", body=b"x" * size))
        assert (reply.status, reply.code) == (415, "unsupported_format")
        return time.monotonic() - start

    assert seconds(6 * 2**20) > 1.6  # 4 MiB beyond the free ones; least_rate alone would allow 1.25 s
    assert seconds(2 * 2**20) < 1.6


def test_what_is_thrown_away_is_read_at_a_rate(narrow: Live) -> None:
    size = 24 * 2**20  # far more than the kernel's buffers hold
    with narrow.connect() as connection:
        refused = send(connection, request("POST", PREDICT, f"Content-Length: {size}", body=b"x" * size))
        assert not refused, "24 MiB were read within the second in which a refused body is"
