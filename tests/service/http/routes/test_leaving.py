"""A client that closes its connection: its work is cancelled, whenever it leaves, and only then."""

import asyncio
from types import SimpleNamespace

import pytest
from fastapi import Request

from service.errors import ClientGone
from service.http.routes import common
from service.http.routes.common import while_connected

pytestmark = pytest.mark.anyio


class Client:
    """The connection of one request, which can be closed."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    @property
    def request(self) -> Request:
        return Request({"type": "http", "headers": []}, self._receive)

    async def _receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


class Work:
    """Work that ends when it is told to, and knows how it ended."""

    def __init__(self) -> None:
        self.finish, self.cancelled = asyncio.Event(), False

    async def run(self) -> str:
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "done"


@pytest.mark.parametrize("late", [False, True])
async def test_work_is_cancelled_when_its_client_leaves(late: bool) -> None:
    client, work = Client(), Work()
    waiting = asyncio.ensure_future(while_connected(client.request, work.run()))
    if late:
        await asyncio.sleep(2 * common._UNWATCHED_SECONDS)
    client.gone.set()
    with pytest.raises(ClientGone):
        await waiting
    assert work.cancelled


@pytest.mark.parametrize("late", [False, True])
async def test_work_that_ends_is_answered(late: bool) -> None:
    client, work = Client(), Work()
    waiting = asyncio.ensure_future(while_connected(client.request, work.run()))
    if late:
        await asyncio.sleep(2 * common._UNWATCHED_SECONDS)
    work.finish.set()
    assert await waiting == "done"
    client.gone.set()
    await asyncio.sleep(2 * common._UNWATCHED_SECONDS)  # a watch that was forgotten would cancel this task


async def test_a_connection_of_our_own_tells_at_once_that_it_is_lost() -> None:
    connection, work = SimpleNamespace(on_lost=None), Work()
    request = Request({"type": "http", "headers": [], "state": {"connection": connection}}, Client()._receive)
    waiting = asyncio.ensure_future(while_connected(request, work.run()))
    await asyncio.sleep(0)
    assert connection.on_lost is not None
    connection.on_lost()
    with pytest.raises(ClientGone):
        await waiting
    assert work.cancelled
    assert connection.on_lost is None


async def test_an_error_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await while_connected(Client().request, fail())


async def test_a_request_that_the_server_cancels_stays_cancelled() -> None:
    client, work = Client(), Work()
    waiting = asyncio.ensure_future(while_connected(client.request, work.run()))
    await asyncio.sleep(2 * common._UNWATCHED_SECONDS)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled


async def test_a_client_that_leaves_while_the_server_cancels_stays_cancelled() -> None:
    client, work = Client(), Work()
    waiting = asyncio.ensure_future(while_connected(client.request, work.run()))
    await asyncio.sleep(2 * common._UNWATCHED_SECONDS)
    client.gone.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
