"""The deadline of a call covers all its attempts, waits and pieces; the same for both clients."""

import asyncio
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from service.client import AsyncClient, DeadlineExceeded, Overloaded, RetryPolicy, TooManyRequests
from tests.service.client import scripted
from tests.service.client.scripted import OK, URL, Server, Time, refusal


def test_nobody_waits_for_what_would_come_too_late(kind: str) -> None:
    time = Time()
    server = Server(refusal(429, headers={"Retry-After": "60"}))
    with scripted.client(kind, server, time, seconds=60.0) as client, pytest.raises(TooManyRequests) as caught:
        client.tasks()
    assert time.waits == []
    assert caught.value.retry_after == 60.0


def test_all_attempts_share_one_deadline(kind: str) -> None:
    time = Time()

    def slow(_: httpx.Request) -> httpx.Response:
        time.now += 3.0
        return refusal(503)

    server = Server(slow)
    with (
        scripted.client(kind, server, time, seconds=10.0, first=1e-9, attempts=3) as client,
        pytest.raises(Overloaded) as caught,
    ):
        client.tasks()
    assert caught.value.attempts == 3
    given = [request.extensions["timeout"]["read"] for request in server.requests]
    assert given == pytest.approx([10.0, 7.0, 4.0], abs=1e-3)
    connecting = [request.extensions["timeout"]["connect"] for request in server.requests]
    assert connecting == pytest.approx([5.0, 5.0, 4.0], abs=1e-3)


@pytest.mark.parametrize("error", [httpx.ReadTimeout(""), httpx.WriteTimeout(""), httpx.PoolTimeout("")])
def test_a_request_that_is_unanswered_at_the_deadline_is_not_repeated(kind: str, error: Exception) -> None:
    server = Server(error)
    with scripted.client(kind, server, Time()) as client, pytest.raises(DeadlineExceeded, match="within 60 s"):
        client.tasks()
    assert len(server.requests) == 1


def test_a_shorter_time_is_for_the_calls_that_are_given_it() -> None:
    server = Server(OK)
    with scripted.client("sync", server, Time()) as client:
        client.within(3.0).tasks()
        client.tasks()
    assert [request.extensions["timeout"]["read"] for request in server.requests] == [3.0, 60.0]


def test_an_answer_that_drips_is_given_up_at_the_deadline() -> None:
    time = Time()

    class Dripping(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                time.now += 1.0
                yield b" "

    server = Server(lambda _: httpx.Response(200, stream=Dripping()))
    with scripted.client("sync", server, time, seconds=5.0) as client, pytest.raises(DeadlineExceeded):
        client.tasks()
    assert time.now == 1005.0


def test_an_answer_that_never_comes_is_given_up_at_the_deadline() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        policy = RetryPolicy(seconds=0.01)
        async with AsyncClient(URL, policy=policy, transport=httpx.MockTransport(never)) as client:
            await client.within(0.005).tasks()

    with pytest.raises(DeadlineExceeded):
        asyncio.run(ask())
