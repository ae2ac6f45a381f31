"""Loading ahead: contents that aliases point at are loaded before a request needs them, while there is room.

This also finds a damaged content before a request does. After each load it sleeps for as long as the load took, so it
uses at most half of one core.
"""

import asyncio
import logging
import time

from adapters_store import AdaptersStoreError
from service.engine import EngineError
from service.errors import LoadBacklog
from service.tasks.loads import Loads
from service.tasks.registry import Registry
from service.tasks.table import Content

logger = logging.getLogger(__name__)


class Prefetch:
    """Goes through a registry's table again and again. Belongs to the event loop."""

    def __init__(self, registry: Registry, loads: Loads) -> None:
        self._registry, self._loads = registry, loads
        self._finished: object = None  # the table in which nothing was left to do
        self._failed: list[Content] = []

    async def follow(self, seconds: float) -> None:
        """Load what is due, for ever. If nothing is due, look again after a while."""
        while True:
            try:
                await self.once()
            except Exception:  # a task that was not loaded ahead is loaded when it is needed
                logger.exception("loading ahead failed; trying again")
            await asyncio.sleep(seconds)

    async def once(self) -> None:
        """Load what is due now; ends early where the memory is full."""
        table = self._registry.table
        for content in self._broken() if table is self._finished else self._due():
            start = time.monotonic()
            try:
                if not await self._load(content):
                    break
            except LoadBacklog:
                return
            except (AdaptersStoreError, EngineError):  # counted, logged and listed where it was loaded
                self._failed.append(content)
            await asyncio.sleep(time.monotonic() - start)
        self._finished = table

    def _broken(self) -> list[Content]:
        """Contents that failed before and may be tried again now."""
        due = [content for content in self._failed if content.wants_load]
        self._failed = [content for content in self._failed if content.must_wait]
        return due

    async def _load(self, content: Content) -> bool:
        if content.sha256 in self._registry.pinned:
            return bool(await self._loads.resident(content))
        return await self._loads.prefetch(content)

    def _due(self) -> list[Content]:
        """Contents that were not read yet, or failed and may be tried again, each once; pinned ones first."""
        pinned = self._registry.pinned
        due = {named.content: None for named in self._registry.live() if named.content.wants_load}
        return sorted(due, key=lambda content: content.sha256 not in pinned)
