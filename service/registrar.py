"""The registry's one thread, seen from the event loop: a bounded line of uploads and deletions, and a regular look
at the store for what others changed.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from adapters_store import AdaptersStoreError
from service.errors import UploadBacklog
from service.registry import Registry, Uploaded

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Registrar:
    """Runs everything that changes a registry, one after the other, off the event loop."""

    def __init__(self, registry: Registry, *, backlog: int) -> None:
        """Start nothing yet; `backlog` is the most changes that may wait or run."""
        self._registry, self._backlog = registry, backlog
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mimi-registry")
        self._waiting = 0

    async def upload(self, task: str, data: bytes) -> Uploaded:
        """As `Registry.upload`; also raises UploadBacklog."""
        return await self._run(lambda: self._registry.upload(task, data))

    async def delete(self, task: str) -> None:
        """As `Registry.delete`; also raises UploadBacklog."""
        await self._run(lambda: self._registry.delete(task))

    async def follow(self, seconds: float) -> None:
        """Look at the store every so often, for ever; a store that cannot be read now is asked again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(seconds)
            try:
                await loop.run_in_executor(self._pool, self._registry.sync)
            except AdaptersStoreError as error:
                logger.warning("the store could not be followed (%s); trying again", type(error).__name__)
            except Exception:  # whatever it was: looking again is right, and going blind in silence is not
                logger.exception("the store could not be followed; trying again")

    def close(self) -> None:
        """Finish the change under way and give up those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, change: Callable[[], T]) -> T:
        if self._waiting >= self._backlog:
            raise UploadBacklog("too many uploads wait to be checked")
        self._waiting += 1
        job = asyncio.get_running_loop().run_in_executor(self._pool, change)
        job.add_done_callback(self._leave)
        return await job

    def _leave(self, _job: "asyncio.Future[T]") -> None:
        self._waiting -= 1
