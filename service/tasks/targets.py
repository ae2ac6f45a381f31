"""Finds the versions that a prediction asks: by an alias of a task, by number, or every task. Knows no HTTP, no images.

A request resolves each target once, so that a split alias is drawn once. Finding a version takes no time. Its weights
may have to be loaded; other requests do not wait for that.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from adapters_store import AdaptersStoreError
from adapters_store.errors import UnknownVersion
from service.engine import DeadlineExceeded, EngineError, Resident
from service.tasks.loads import Loads
from service.tasks.registrar import Registrar
from service.tasks.registry import Registry
from service.tasks.table import ALIAS, SUSPENDED, LoadedVersion, TaskVersion


@dataclass(frozen=True, slots=True)
class Target:
    """A task, and which version of it: the one that an alias points at, or the one with this number.

    Attributes:
        task: its id.
        alias: asked unless there is a version.
        version: its number.
        key: what always gets the same version of a split alias; None: each request is drawn anew.
    """

    task: str
    alias: str = ALIAS
    version: int | None = None
    key: str | None = None


class Targets:
    """Finds the version that answers. Belongs to the event loop."""

    def __init__(self, registry: Registry, registrar: Registrar, loads: Loads, *, seconds: float) -> None:
        """Put the parts together; `seconds` is the time that a load may take."""
        self._registry, self._registrar, self._loads, self._seconds = registry, registrar, loads, seconds

    async def named(self, target: Target) -> TaskVersion:
        """The version that a target means now.

        Raises:
            UnknownTask, UnknownAlias, UnknownVersion: there is none.
            TaskUnavailable: it cannot be served here.
            StoreError, UploadBacklog: it may be too new for this server, and the store cannot be asked.
        """
        if target.version is None:
            return self._registry.resolve(target.task, target.alias, key=target.key)
        entry = self._registry.table.get(target.task)
        if entry is not None and entry.live is not SUSPENDED and target.version not in entry.versions:
            await self._registrar.change(self._registry.sync)  # another server may have published it a moment ago
        return self._registry.version(target.task, target.version)

    async def ready(self, versions: Iterable[TaskVersion]) -> list[LoadedVersion]:
        """These versions with their weights in memory; their loads go on at the same time.

        Raises:
            TaskUnavailable: only the load showed that one cannot be served here.
            UnknownVersion: one was deleted since it was found, before it was loaded.
            StoreError, LoadBacklog, DeadlineExceeded: one could not be loaded now.
        """
        asked = list(versions)
        found = [self._loads.get(named.content) for named in asked]
        missing = [named for named, resident in zip(asked, found, strict=True) if resident is None]
        loaded = iter(await asyncio.gather(*map(self._load, missing)) if missing else ())
        return [self._served(named, resident or next(loaded)) for named, resident in zip(asked, found, strict=True)]

    def everything(self, key: str | None = None) -> list[Target]:
        """Every task that can be served now, as far as is known, by name."""
        return [Target(task, key=key) for task, entry in sorted(self._registry.table.items()) if entry.reason is None]

    async def _load(self, named: TaskVersion) -> Resident:
        content = named.content
        try:
            async with asyncio.timeout(self._seconds):
                return await self._loads.loaded(content)
        except TimeoutError:
            raise DeadlineExceeded("the task adapter was not loaded in time") from None
        except (AdaptersStoreError, EngineError) as error:
            if not self._registry.names(content.sha256):
                raise UnknownVersion("the version was deleted before it was loaded") from error
            if content.reason is None:  # the store failed, not the content
                raise
            raise content.unavailable("this task") from error

    def _served(self, named: TaskVersion, resident: Resident) -> LoadedVersion:
        if not self._registry.names(named.content.sha256):
            self._registry.release([named.content.sha256])  # deleted meanwhile; this request goes on with what it has
        return LoadedVersion(named.task, named.info, resident.manifest, resident)
