"""Memory for messages that arrive, shared between clients.

gRPC tells the size of a message only when the whole of it is here. So a message takes a place while it arrives, and
the most bytes that it may have. When it is there, it keeps its own bytes until it is answered. Places are half of what
all request bodies may hold, so that HTTP has the other half. One client has at most half of the places.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from service.errors import TooManyConnections, TooManyUnderWay
from service.inputs.budget import Budget


class Reading:
    """Places for messages that arrive. Belongs to the event loop."""

    def __init__(self, budget: Budget, *, message_bytes: int) -> None:
        """`budget` is that of all requests; a message has at most `message_bytes`."""
        self._budget, self._bytes = budget, message_bytes
        places = max(1, budget.limit // (2 * message_bytes))
        self._all, self._share = asyncio.Semaphore(places), max(1, places // 2)
        self._clients: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Let one message of a client arrive inside; its turn comes after those that wait already.

        Raises:
            TooManyBytes: other requests hold the memory.
        """
        with self._own(client) as own:
            async with own, self._all:
                self._budget.take(self._bytes)
                try:
                    yield
                finally:
                    self._budget.release(self._bytes)

    @contextmanager
    def held(self, count: int) -> Iterator[None]:
        """Count a message's bytes inside.

        Raises:
            TooManyBytes: other requests hold the memory.
        """
        self._budget.take(count)
        try:
            yield
        finally:
            self._budget.release(count)

    @contextmanager
    def _own(self, client: str) -> Iterator[asyncio.Semaphore]:
        """The places of one client, which are known while it uses them."""
        own, users = self._clients.get(client, (asyncio.Semaphore(self._share), 0))
        self._clients[client] = own, users + 1
        try:
            yield own
        finally:
            own, users = self._clients.pop(client)
            if users > 1:
                self._clients[client] = own, users - 1


class Shares:
    """A limit on what is under way at once, of which one client has at most a half. Belongs to the event loop."""

    def __init__(self, limit: int, what: str) -> None:
        """`what` names it in refusals."""
        self._limit, self._what = limit, what
        self._taken: dict[str, int] = {}
        self._all = 0

    def take(self, client: str) -> None:
        """Take one.

        Raises:
            TooManyUnderWay: the client has its share.
            TooManyConnections: all are taken.
        """
        if self._taken.get(client, 0) >= max(1, self._limit // 2):
            raise TooManyUnderWay(f"one client has at most {max(1, self._limit // 2)} {self._what}")
        if self._all >= self._limit:
            raise TooManyConnections(f"at most {self._limit} {self._what}")
        self._all += 1
        self._taken[client] = self._taken.get(client, 0) + 1

    def release(self, client: str) -> None:
        """Give one back."""
        self._all -= 1
        left = self._taken.pop(client) - 1
        if left:
            self._taken[client] = left
