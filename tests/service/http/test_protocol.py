"""Connections before a complete request: slow headers, invalid bytes, too many connections."""

import time
from contextlib import ExitStack

import pytest

from service.settings import Settings
from tests.service.asking import answer, predict, raw
from tests.service.live import Live
from tests.service.wire import ask, chunked, read, request, send


def test_headers_that_do_not_end_meet_a_deadline(tight: Live) -> None:
    with tight.connect() as connection:
        start = time.monotonic()
        send(connection, b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        reply = read(connection)
        assert (reply.status, reply.code, reply.closed) == (408, "request_timeout", True)
        assert 0.8 < time.monotonic() - start < 30


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(tight: Live) -> None:
    with tight.connect() as connection:
        start = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.8 < time.monotonic() - start < 30


def test_the_second_request_of_a_connection_has_the_same_deadline(tight: Live) -> None:
    with tight.connect() as connection:
        send(connection, request("GET", "/health/live"))
        assert read(connection).status == 200
        send(connection, b"GET /health/live HTTP/1.1\r\nX-Slow: ")
        assert read(connection).status == 408


def test_an_idle_connection_is_closed_after_its_time_and_not_before(tight: Live) -> None:
    with tight.connect() as connection:
        send(connection, request("GET", "/health/live"))
        assert not read(connection).closed
        start = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.8 < time.monotonic() - start < 30


def test_connections_outlive_the_patience_of_proxies_unless_told_otherwise() -> None:
    assert Settings().idle_seconds > 60  # what nginx and load balancers of clouds wait before they let go


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_request_is_a_problem_and_the_end_of_the_connection(tight: Live, nonsense: bytes) -> None:
    reply = ask(tight, nonsense)
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert (reply.code, reply.closed) == ("malformed_request", True)


def test_a_long_request_line_is_refused(tight: Live) -> None:
    assert ask(tight, request("GET", "/" + "x" * 1_000_000)).status == 431


def test_a_broken_chunk_ends_the_request_without_harm(tight: Live) -> None:
    head = request("POST", "/v1/tasks/cats/predict", "Transfer-Encoding: chunked")
    reply = ask(tight, head, chunked(b"x"), b"nonsense\r\n")
    assert (reply.status, reply.closed) == (400, True)
    answer(predict(tight, "cats", raw()))


def test_an_upgrade_to_websockets_is_not_taken(tight: Live) -> None:
    reply = ask(tight, request("GET", "/v1/tasks", "Connection: Upgrade", "Upgrade: websocket"))
    assert reply.status == 200


def test_connections_are_limited_and_their_places_come_back(tight: Live) -> None:
    limit = tight.service.settings.connections
    with ExitStack() as stack:
        held = [stack.enter_context(tight.connect()) for _ in range(limit + 4)]
        for connection in held:  # each is busy with a request, so that none can be closed for another
            send(connection, request("POST", "/v1/tasks/cats/predict", "Content-Length: 9", body=b"x"))
        replies = [read(connection) for connection in held]
    refused = [reply for reply in replies if reply.status == 503]
    assert len(refused) >= 4
    assert {(reply.code, reply.closed, reply.headers["retry-after"]) for reply in refused} == {
        ("too_many_connections", True, "1")
    }
    assert tight.client.get("/health/live").status_code == 200


def test_idle_connections_give_way_to_new_ones(tight: Live) -> None:
    with ExitStack() as stack:
        for _ in range(tight.service.settings.connections + 4):
            connection = stack.enter_context(tight.connect())
            send(connection, request("GET", "/health/live"))
            assert read(connection).status == 200
