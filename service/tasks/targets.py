"""Whom a prediction asks: an alias of a task, one of its versions, or every task there is. Knows no HTTP, no images.

To find a version takes no time; to have it ready to answer may take its load, which no other request waits for.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from adapters_store import AdaptersStoreError
from service.engine import DeadlineExceeded, EngineError
from service.errors import TaskUnavailable
from service.tasks.loads import Loads
from service.tasks.registrar import Registrar
from service.tasks.registry import Registry
from service.tasks.table import ALIAS, SUSPENDED, Named, Served


@dataclass(frozen=True, slots=True)
class Target:
    """A task, and which version of it: the one that an alias points at, or the one with this number."""

    task: str
    alias: str = ALIAS
    version: int | None = None


class Targets:
    """Finds the version that answers. Belongs to the event loop."""

    def __init__(self, registry: Registry, registrar: Registrar, loads: Loads, *, seconds: float) -> None:
        """Put the parts together; `seconds` is the time that a load may take."""
        self._registry, self._registrar, self._loads, self._seconds = registry, registrar, loads, seconds

    async def named(self, target: Target) -> Named:
        """The version that a target means now.

        Raises:
            UnknownTask, UnknownAlias, UnknownVersion: there is none.
            TaskUnavailable: it cannot be served here.
            StoreError, UploadBacklog: it may be too new for this server, and the store cannot be asked.
        """
        if target.version is None:
            return self._registry.resolve(target.task, target.alias)
        entry = self._registry.table.get(target.task)
        if entry is not None and entry.live is not SUSPENDED and target.version not in entry.versions:
            await self._registrar.change(self._registry.sync)  # another server may have published it a moment ago
        return self._registry.version(target.task, target.version)

    async def served(self, target: Target) -> Served:
        """The version that answers for a target now, on the device.

        Raises:
            As `named`, and:
            TaskUnavailable: it was found out only now that it cannot be served here.
            StoreError, LoadBacklog, DeadlineExceeded: it could not be loaded now.
        """
        return await self._ready(await self.named(target))

    async def all_served(self, targets: Iterable[Target]) -> list[Served]:
        """As `served`, for many targets, whose loads go on at the same time."""
        found = [await self.named(target) for target in targets]
        return await asyncio.gather(*map(self._ready, found))

    def everything(self) -> list[Target]:
        """Every task that can be served now, as far as is known, by name."""
        return [Target(task) for task, entry in sorted(self._registry.table.items()) if entry.reason is None]

    async def _ready(self, named: Named) -> Served:
        content = named.content
        try:
            async with asyncio.timeout(self._seconds):
                resident = await self._loads.resident(content)
        except TimeoutError:
            raise DeadlineExceeded("the task adapter was not loaded in time") from None
        except (AdaptersStoreError, EngineError) as error:
            if content.reason is None:  # it is the store that is ill
                raise
            raise TaskUnavailable(f"this task cannot be served here: {content.reason}") from error
        if not self._registry.names(content.sha256):
            self._registry.release([content.sha256])  # deleted meanwhile; this request goes on with what it has
        return Served(named.task, named.info, resident.manifest, resident)
