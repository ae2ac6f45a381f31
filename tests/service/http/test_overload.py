"""While the queue is full, requests are refused before they cost anything."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from service.http.refusals import is_whole, may_stay
from service.settings import Settings
from tests.service.adapters import Made
from tests.service.asking import PNG, predict, raw
from tests.service.gate import gated, until
from tests.service.live import PATIENCE, Live, serving
from tests.service.wire import ask, read, request, send

PREDICT = "/v1/tasks/cats/predict"


@pytest.fixture
def full(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose queue is full."""
    settings = Settings(
        store=str(tmp_path_factory.mktemp("full") / "store.db"),
        queue_images=1,
        images_per_request=1,
        request_seconds=PATIENCE,
        cors_origins=("https://pages.example",),
    )
    with serving(settings, {"cats": made["cats"]}) as live, gated(live) as gate, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(predict, live, "cats", raw())]
        assert gate.reached.wait(PATIENCE)
        waiting.append(pool.submit(predict, live, "cats", raw()))
        until(lambda: live.service.batcher.queued == 1)
        yield live
        gate.open.set()
        assert [job.result().status_code for job in waiting] == [200, 200]


def test_a_prediction_is_refused_from_its_first_line(full: Live) -> None:
    never_parsed = request("POST", PREDICT, "Content-Length: 1000000", "X-Request-Id: mine", "no header at all")
    reply = ask(full, never_parsed)
    assert (reply.status, reply.code, reply.closed) == (503, "queue_full", True)
    assert (reply.headers["retry-after"], reply.headers["x-request-id"]) == ("1", "mine")
    v2 = ask(full, request("POST", "/v2/models/cats/infer", "Content-Length: 1000000"))
    assert (v2.status, v2.headers["content-type"]) == (503, "application/json")


def test_a_refusal_in_the_middle_of_a_body_does_not_reset_the_connection(full: Live) -> None:
    reply = ask(full, request("POST", PREDICT, "Content-Length: 3000000"), bytes(3_000_000))
    assert (reply.status, reply.code) == (503, "queue_full")


def test_a_refusal_of_a_whole_request_leaves_the_connection_open(full: Live) -> None:
    with full.connect() as connection:
        for headers in ((), ("Connection: keep-alive",), ("X-Request-Id: mine",)):
            send(connection, whole(*headers))
            reply = read(connection)
            assert (reply.status, reply.code, reply.closed) == (503, "queue_full", False)
        assert reply.headers["x-request-id"] == "mine"
        send(connection, request("GET", "/health/live"))
        assert read(connection).status == 200
        send(connection, whole("Connection: close"))
        assert read(connection).closed


def whole(*headers: str) -> bytes:
    """A prediction with its body."""
    return request("POST", PREDICT, f"Content-Length: {len(PNG)}", "Content-Type: image/png", *headers, body=PNG)


def test_predictions_that_wait_in_the_kernel_are_refused_before_anything_is_made_for_them(full: Live) -> None:
    loop, busy = full.server.servers[0].get_loop(), threading.Event()
    loop.call_soon_threadsafe(busy.wait, PATIENCE)
    with ExitStack() as stack:
        connections = [stack.enter_context(full.connect()) for _ in range(20)]
        for connection in connections:
            send(connection, whole())
        busy.set()
        replies = [read(connection) for connection in connections]
        assert {(reply.status, reply.code, reply.headers["retry-after"]) for reply in replies} == {
            (503, "queue_full", "1")
        }
        assert len({reply.headers["x-request-id"] for reply in replies}) == 20
        assert sum(reply.closed for reply in replies) >= 15  # the others were accepted by uvloop, and stay


def test_others_that_wait_in_the_kernel_are_let_in(full: Live) -> None:
    loop, busy = full.server.servers[0].get_loop(), threading.Event()
    loop.call_soon_threadsafe(busy.wait, PATIENCE)
    unfinished = request("POST", PREDICT, "Content-Length: 10", body=b"12345")
    with ExitStack() as stack:
        asked = [request("GET", "/health/live"), b"", unfinished] * 5
        connections = [stack.enter_context(full.connect()) for _ in asked]
        for connection, data in zip(connections, asked, strict=True):
            send(connection, data)
        busy.set()
        for connection, data in zip(connections, asked, strict=True):
            send(connection, b"" if data else asked[0])
            assert read(connection).status == (503 if data == unfinished else 200)


def test_everything_else_is_answered_as_ever(full: Live) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/v1/tasks"):
        assert full.client.get(path).status_code == 200


def test_a_web_page_may_read_its_refusal(full: Live) -> None:
    origin = {"Origin": "https://pages.example"}
    reply = full.client.post(PREDICT, content=PNG, headers=origin)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (503, origin["Origin"])


@pytest.fixture
def late(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose event loop is busy with something else all the time, but for moments."""
    over = threading.Event()
    settings = Settings(store=str(tmp_path_factory.mktemp("late") / "store.db"), request_seconds=PATIENCE)

    def busy(loop: asyncio.AbstractEventLoop) -> None:
        time.sleep(0.25)
        if not over.is_set():
            loop.call_later(0.001, busy, loop)

    with serving(settings, {"cats": made["cats"]}) as live:
        loop = live.server.servers[0].get_loop()
        loop.call_soon_threadsafe(busy, loop)
        yield live
        over.set()


def test_predictions_that_come_faster_than_they_can_be_looked_at_are_refused(late: Live) -> None:
    never_parsed = request("POST", PREDICT, "Content-Length: 1000000", "no header at all")

    def flood() -> set[tuple[int, str]]:
        with ExitStack() as stack:
            connections = [stack.enter_context(late.connect()) for _ in range(100)]
            for connection in connections:
                send(connection, never_parsed)
            return {(reply.status, reply.code) for reply in map(read, connections)}

    until(lambda: (503, "too_many_requests") in flood())
    assert late.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"POST / HTTP/1.1\r\ncontent-LENGTH:2\r\n\r\nab", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length : 3\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding : chunked\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n 3\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nX: a\nY: b\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nContent-Length: -2\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nX: " + b"a" * 5000 + b"\r\nContent-Length: 2\r\n\r\nab", False),
        (b"", False),
    ],
)
def test_only_a_request_with_plain_framing_counts_as_whole(data: bytes, expected: bool) -> None:
    assert is_whole(data) is expected


@pytest.mark.parametrize(
    ("first", "header", "expected"),
    [
        ("POST / HTTP/1.1", "X: y", True),
        ("POST / HTTP/1.1", "Connection: Keep-Alive", True),
        ("POST / HTTP/1.1", "Connection: close", False),
        ("POST / HTTP/1.1", "Connection:close", False),
        ("POST / HTTP/1.1", "Connection: keep-alive, close", False),
        ("POST / HTTP/1.1", "Connection: upgrade", False),
        ("POST / HTTP/1.0", "X: y", False),
    ],
)
def test_a_connection_stays_if_its_client_wants_that(first: str, header: str, expected: bool) -> None:
    assert may_stay(f"{first}\r\n{header}\r\n\r\n".encode()) is expected
