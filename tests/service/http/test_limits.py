"""Limits of a request, over bare sockets: false lengths, endless bodies, ambiguous framing."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.errors import RequestTimeout
from service.http import limits
from service.http.limits import LimitsMiddleware
from service.inputs.budget import Budget
from service.settings import Settings
from tests.service.adapters import Made, make
from tests.service.asking import PNG, answer, predict, put, raw
from tests.service.live import Live, serving
from tests.service.wire import Reply, ask, chunked, read, request, send

PREDICT = "/v1/tasks/cats/predict"


def test_a_declared_length_over_the_limit_is_refused_before_the_body(tight: Live) -> None:
    reply = ask(tight, request("POST", PREDICT, "Content-Length: 60001"))
    assert (reply.status, reply.code, reply.closed) == (413, "body_too_large", True)


def test_a_refusal_by_length_comes_instead_of_continue(tight: Live) -> None:
    reply = ask(tight, request("PUT", "/v1/tasks/x", "Content-Length: 5000000000", "Expect: 100-continue"))
    assert reply.status == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", PREDICT), ("PUT", "/v1/tasks/x"), ("POST", "/v1/tasks/nobody/predict"), ("GET", "/health/live")],
)
def test_a_chunked_body_without_end_is_cut_off_on_every_route(tight: Live, method: str, path: str) -> None:
    with tight.connect() as connection:
        send(connection, request(method, path, "Transfer-Encoding: chunked", "Content-Type: application/json"))
        piece, sent, start = chunked(bytes(20_000)), 0, time.monotonic()
        while send(connection, piece) and time.monotonic() - start < 10:
            sent += len(piece)
        assert time.monotonic() - start < 30, f"{sent} bytes were taken"


@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [("", 20_000, 415), ("", 20_001, 413), ("application/json", 60_000, 400), ("application/json", 60_001, 413)],
)
def test_a_chunked_body_is_counted_to_the_byte(tight: Live, kind: str, size: int, status: int) -> None:
    head = request("POST", PREDICT, "Transfer-Encoding: chunked", f"Content-Type: {kind}")
    pieces = [chunked(b"x" * 1000)] * (size // 1000) + [chunked(b"x")] * (size % 1000)
    reply = ask(tight, head, *pieces, b"0\r\n\r\n")
    assert reply.status == status


def test_an_adapter_may_have_exactly_its_limit(tight: Live, task: str) -> None:
    assert put(tight, task, bytes(50_000)).status_code == 415  # read completely, and no safetensors file
    assert put(tight, task, bytes(50_001)).status_code == 413
    assert put(tight, task, make(30).data).status_code == 201


def test_a_length_that_promises_too_much_runs_into_the_deadline(tight: Live) -> None:
    start = time.monotonic()
    reply = ask(tight, request("POST", PREDICT, "Content-Length: 1000", body=b"x" * 999))
    assert (reply.status, reply.code, reply.closed) == (408, "request_timeout", True)
    assert time.monotonic() - start < 30


def test_bytes_beyond_the_promised_length_are_no_part_of_the_body(tight: Live) -> None:
    reply = ask(tight, request("POST", PREDICT, f"Content-Length: {len(PNG)}", body=PNG + b"garbage"))
    assert reply.status == 200


def test_a_body_that_drips_is_ended_by_one_deadline_for_all_of_it(tight: Live) -> None:
    with tight.connect() as connection:
        start = time.monotonic()
        send(connection, request("POST", PREDICT, "Transfer-Encoding: chunked"))
        while send(connection, chunked(b"x")) and time.monotonic() - start < 10:
            time.sleep(0.02)  # the drip itself: nothing is waited for
        assert 0.8 < time.monotonic() - start < 30


@pytest.mark.parametrize("encoding", ["br", "deflate, gzip", "x"])
def test_a_content_encoding_is_refused(tight: Live, encoding: str) -> None:
    reply = ask(tight, request("POST", PREDICT, f"Content-Encoding: {encoding}", "Content-Length: 0"))
    assert (reply.status, reply.code) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Content-Length: 4, 5",),
        ("Content-Length: -1",),
        ("Content-Length: +4",),
        ("Content-Length: 0x4",),
        ("Content-Length: 99999999999999999999",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding : chunked",),
    ],
)
def test_framing_with_two_meanings_is_refused_and_the_connection_closed(tight: Live, headers: tuple[str, ...]) -> None:
    reply = ask(tight, request("POST", PREDICT, *headers, body=b"0\r\n\r\n"))
    assert (reply.status, reply.code, reply.closed) == (400, "malformed_request", True)


def test_headers_are_counted(tight: Live) -> None:
    def with_headers(count: int) -> Reply:
        return ask(tight, request("GET", "/health/live", *(f"X-{i}: 1" for i in range(count - 1))))

    assert with_headers(64).status == 200
    assert (with_headers(65).status, with_headers(65).code) == (431, "headers_too_large")


@pytest.mark.parametrize(("size", "status"), [(15_000, 200), (16_384, 431), (40_000, 431), (1_000_000, 431)])
def test_headers_are_measured(tight: Live, size: int, status: int) -> None:
    assert ask(tight, request("GET", "/health/live", f"X: {'x' * size}")).status == status


def test_bodies_held_at_once_share_one_budget(tight: Live) -> None:
    head = request("POST", PREDICT, "Content-Type: application/json", "Content-Length: 55001", body=b" " * 55_000)
    with tight.connect() as first, tight.connect() as second:
        for connection in (first, second):
            send(connection, head)
        replies = [read(first), read(second)]
    assert sorted(reply.status for reply in replies) == [408, 503]
    refused = next(reply for reply in replies if reply.status == 503)
    assert (refused.code, refused.headers["retry-after"]) == ("too_many_bytes", "1")
    answer(predict(tight, "cats", raw()))  # and the budget is free again


def test_a_refused_request_leaves_the_connection_usable_when_its_body_was_read(tight: Live) -> None:
    with tight.connect() as connection:
        for data, status in ((b"no image", 415), (PNG, 200)):
            send(connection, request("POST", PREDICT, f"Content-Length: {len(data)}", body=data))
            reply = read(connection)
            assert (reply.status, reply.closed) == (status, False)


@pytest.mark.anyio
async def test_an_early_answer_in_pieces_goes_out_whole_before_the_connection_ends() -> None:
    async def answers_early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    app = LimitsMiddleware(answers_early, settings=Settings(), budget=Budget(1000))
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "headers": [(b"content-length", b"9")]}
    await app(scope, receive, keep)
    assert sent[0]["headers"] == [(b"connection", b"close")]
    assert [(m["body"], m.get("more_body", False)) for m in sent[1:]] == [(b"one", True), (b"two", True), (b"", False)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("stands_still", "comes", "late"), [(True, True, False), (True, False, True), (False, False, True)]
)
async def test_a_body_is_not_late_because_the_server_stood_still(
    monkeypatch: pytest.MonkeyPatch, stands_still: bool, comes: bool, late: bool
) -> None:
    if stands_still:
        monkeypatch.setattr(limits, "_STILL_SECONDS", 0.2)
    pieces: asyncio.Queue[Message] = asyncio.Queue()
    refused: list[RequestTimeout] = []

    async def deliver() -> None:
        if stands_still:
            time.sleep(0.5)  # blocks the event loop, as a stopped process or a paused machine does
        else:
            await asyncio.Event().wait()  # the client is slow
        for _ in range(5):
            await asyncio.sleep(0)  # from hand to hand, as from Ray's proxy
        if comes:
            pieces.put_nowait({"type": "http.request", "body": b"image"})

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        coming = asyncio.create_task(deliver())
        try:
            await receive()
        except RequestTimeout as error:
            refused.append(error)
        coming.cancel()

    async def send(message: Message) -> None:
        pass

    app = LimitsMiddleware(reads, settings=Settings(body_seconds=0.1), budget=Budget(1000))
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "headers": [(b"content-length", b"5")]}
    await app(scope, pieces.get, send)
    assert bool(refused) == late


@pytest.fixture(scope="module")
def patient(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose bodies may take long, if they come at 1,000 bytes a second."""
    settings = Settings(
        store=str(tmp_path_factory.mktemp("patient") / "store.db"),
        body_seconds=1.0,
        least_rate=1000,
        body_most_seconds=4.0,
    )
    with serving(settings, {"cats": made["cats"]}) as server:
        yield server


def _drip(live: Live, size: int, pieces: int) -> Reply:
    """Ten pieces of a body a second, and the answer."""
    with live.connect() as connection:
        send(connection, request("POST", PREDICT, f"Content-Length: {size * pieces}"))
        for _ in range(pieces):
            time.sleep(0.1)  # the slowness itself: nothing is waited for
            if not send(connection, b"x" * size):
                break
        return read(connection)


def test_a_slow_but_steady_body_may_take_longer_than_a_body_that_stalls(patient: Live) -> None:
    assert _drip(patient, 500, 15).status == 415  # read completely, in one and a half seconds: no image
    assert _drip(patient, 10, 15).status == 408


def test_no_body_may_take_for_ever(patient: Live) -> None:
    start = time.monotonic()
    assert _drip(patient, 500, 200).status == 408
    assert 3.5 < time.monotonic() - start < 15
