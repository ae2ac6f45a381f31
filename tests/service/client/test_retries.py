"""Retries: which errors are retried, after which delay, and until when; the same for both clients."""

from collections.abc import Callable

import httpx2 as httpx
import pytest

from service.client import (
    Client,
    ClientError,
    ConnectionFailed,
    InvalidArgument,
    NotConnected,
)
from tests.service.client import scripted
from tests.service.client.scripted import ALIVE, OK, Server, Time, refusal

GONE = httpx.Response(204, headers={"ETag": '"5"'})
UPLOADED = httpx.Response(
    201,
    json={
        "task": "pets",
        "version": 1,
        "sha256": "0" * 64,
        "created": True,
        "active": True,
        "dry_run": False,
        "generation": 1,
        "checks": [],
        "golden": {"reference": 0.0, "engine": 0.0, "tolerance": 0.1},
    },
)
CUT = httpx.ReadError("connection reset")
REFUSED = httpx.ConnectError("connection refused")
BUSY = refusal(503, headers={"Retry-After": "1"})
Act = Callable[[Client], object]


def deletes(client: Client) -> object:
    return client.delete_version("pets", 3)


def deletes_as_seen(client: Client) -> object:
    return client.delete_version("pets", 3, generation=4)


def uploads(client: Client) -> object:
    return client.upload("pets", b"file")


@pytest.mark.parametrize("status", [429, 503])
def test_a_read_is_repeated_when_the_server_says_later_and_waits_as_long_as_it_asks(kind: str, status: int) -> None:
    server, time = Server(refusal(status, headers={"Retry-After": "7"}), OK), Time()
    with scripted.client(kind, server, time) as client:
        assert client.tasks().tasks == []
    assert time.waits == [pytest.approx(7.1)]  # and the first back-off
    assert len(server.requests) == 2


@pytest.mark.parametrize("lost", [CUT, REFUSED, httpx.RemoteProtocolError("no answer"), httpx.ConnectTimeout("")])
def test_a_read_is_repeated_when_the_connection_breaks(kind: str, lost: Exception) -> None:
    server, time = Server(lost, OK), Time()
    with scripted.client(kind, server, time) as client:
        client.tasks()
    assert time.waits == [pytest.approx(0.1)]


def test_the_wait_doubles_up_to_a_limit_and_the_last_error_comes_through(kind: str) -> None:
    server, time = Server(CUT), Time()
    with (
        scripted.client(kind, server, time, attempts=6, most=0.5) as client,
        pytest.raises(ConnectionFailed) as caught,
    ):
        client.tasks()
    assert time.waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
    assert caught.value.attempts == 6


def test_the_wait_is_anything_between_nothing_and_the_limit(kind: str) -> None:
    draws = iter([0.0, 0.5, 0.25])
    time = Time()
    with (
        scripted.client(kind, Server(CUT), time, random=lambda: next(draws)) as client,
        pytest.raises(ConnectionFailed),
    ):
        client.tasks()
    assert time.waits == pytest.approx([0.0, 0.1, 0.1])


@pytest.mark.parametrize("act", [deletes, lambda client: client.set_alias("pets", "live", 3)])
@pytest.mark.parametrize("outcome", [CUT, BUSY])
def test_a_change_without_a_precondition_is_sent_once(kind: str, act: Act, outcome: httpx.Response | Exception) -> None:
    server = Server(outcome, GONE)
    with scripted.client(kind, server, Time()) as client, pytest.raises(ClientError) as caught:
        act(client)
    assert len(server.requests) == caught.value.attempts == 1


@pytest.mark.parametrize("act", [deletes, lambda client: client.rollback("pets")])
@pytest.mark.parametrize("outcome", [REFUSED, refusal(429, headers={"Retry-After": "1"})])
def test_a_change_that_was_certainly_not_made_is_sent_again(
    kind: str, act: Act, outcome: httpx.Response | Exception
) -> None:
    server = Server(outcome, refusal(404))
    with scripted.client(kind, server, Time()) as client, pytest.raises(ClientError):
        act(client)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("act", "done"),
    [(deletes_as_seen, GONE), (uploads, UPLOADED), (lambda client: client.delete_task("pets", generation=3), GONE)],
)
@pytest.mark.parametrize("outcome", [CUT, BUSY])
def test_a_change_that_cannot_be_made_twice_is_repeated(
    kind: str, act: Act, done: httpx.Response, outcome: httpx.Response | Exception
) -> None:
    server = Server(outcome, done)
    with scripted.client(kind, server, Time()) as client:
        act(client)
    first, second = server.requests
    assert first.content == second.content
    assert {**first.headers} == {**second.headers}


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 500, 502, 504])
def test_what_would_fail_again_is_not_repeated(kind: str, status: int) -> None:
    server = Server(refusal(status, headers={"Retry-After": "1"}))
    with scripted.client(kind, server, Time()) as client, pytest.raises(ClientError):
        client.tasks()
    assert len(server.requests) == 1


def test_health_is_asked_once(kind: str) -> None:
    server = Server(REFUSED)
    with scripted.client(kind, server, Time()) as client:
        assert not client.ready()
        assert not client.live()
    assert len(server.requests) == 2
    with scripted.client(kind, Server(ALIVE), Time()) as client:
        assert client.ready()
        assert client.live()


def test_one_name_for_all_attempts_of_a_call_and_for_no_other(kind: str) -> None:
    server = Server(REFUSED, REFUSED, OK, REFUSED)
    with scripted.client(kind, server, Time(), attempts=3) as client:
        client.tasks()
        with pytest.raises(NotConnected) as caught:
            client.tasks()
    names = [request.headers["x-request-id"] for request in server.requests]
    assert len(names) == 6
    assert len(set(names[:3])) == len(set(names[3:])) == 1
    assert names[0] != names[3] == caught.value.request_id


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0.0}, {"seconds": float("nan")}, {"attempts": 0}, {"first": -1.0}, {"most": 0.0}]
)
def test_a_policy_that_allows_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        scripted.policy(Time(), **wrong)
