"""The registry's one thread, seen from the event loop.

It makes changes one after the other, and at most `backlog` may wait. It also reads the changes of other servers from
the store.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from adapters_store import AdaptersStoreError, Store
from adapters_store.errors import StoreReplaced
from service.errors import UploadBacklog
from service.executor import BoundedExecutor
from service.tasks.registry import Registry

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Registrar:
    """Runs everything that changes a registry, one after the other, off the event loop.

    Attributes:
        store_lost: whether the store is gone; tasks in memory are still served.
    """

    def __init__(self, registry: Registry, *, backlog: int) -> None:
        """Start nothing yet; `backlog` is the most changes that may wait or run."""
        self._registry, self._looked_at = registry, time.monotonic()
        self.store_lost = False
        self._executor = BoundedExecutor("mimi-registry", threads=1, backlog=backlog, refusal=_refusal)

    async def change(self, change: Callable[[], T]) -> T:
        """Make one change after all earlier ones; returns its result.

        Raises:
            UploadBacklog: too many wait. Errors of the change are raised too.
        """
        return await self._executor.run(change)

    async def follow(self, seconds: float) -> None:
        """Read the store every `seconds`, for ever; after an error, try again."""
        await self._repeat(self._look, seconds, "followed")

    @property
    def age(self) -> float:
        """Seconds since the store was last read with success."""
        return time.monotonic() - self._looked_at

    async def sweep(self, store: Store, seconds: float) -> None:
        """Remove the bytes that no version names from the store, every `seconds`, for ever."""
        await self._repeat(store.sweep, seconds, "swept")

    def _look(self) -> None:
        try:
            self._registry.sync()
        except StoreReplaced:
            self.store_lost = True
            raise
        self.store_lost = False
        if not self._registry.offline:
            self._looked_at = time.monotonic()

    async def _repeat(self, job: Callable[[], object], seconds: float, done: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(seconds)
            try:
                await loop.run_in_executor(self._executor.pool, job)
            except AdaptersStoreError as error:
                logger.warning("the store could not be %s (%s: %s); trying again", done, type(error).__name__, error)
            except Exception:  # whatever it was: log it and try again
                logger.exception("the store could not be %s; trying again", done)

    def close(self) -> None:
        """Finish the change under way and cancel those that wait."""
        self._executor.close(wait=True)


def _refusal() -> UploadBacklog:
    return UploadBacklog("too many uploads wait to be checked")
