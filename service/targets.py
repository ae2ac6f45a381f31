"""Whom a prediction asks: an alias of a task, one of its versions, or every task there is. Knows no HTTP, no images.

Aliases are resident and resolve at once. A version that no alias points at is loaded when it is asked for, in the
registry's thread, and the last few asked for are kept; whatever changes about their task makes them be looked up
again, so that a deleted version never answers.
"""

from collections import OrderedDict
from dataclasses import dataclass

from adapters_store import Store
from adapters_store.store_errors import UnknownVersion
from service.errors import TaskUnavailable, UnknownTask
from service.registrar import Registrar
from service.registry import ALIAS, SUSPENDED, Registry, Served

_KEPT = 8  # versions without an alias


@dataclass(frozen=True, slots=True)
class Target:
    """A task, and which version of it: the one that an alias points at, or the one with this number."""

    task: str
    alias: str = ALIAS
    version: int | None = None


class Targets:
    """Finds the version that answers. Belongs to the event loop."""

    def __init__(self, store: Store, registry: Registry, registrar: Registrar) -> None:
        self._store, self._registry, self._registrar = store, registry, registrar
        self._kept: OrderedDict[tuple[str, int], tuple[int, Served]] = OrderedDict()  # with its task's generation

    async def served(self, target: Target) -> Served:
        """The version that answers for a target now.

        Raises:
            UnknownTask, UnknownAlias, UnknownVersion: there is none.
            TaskUnavailable, AdaptersStoreError, EngineError: it cannot be served here.
            UploadBacklog: it would have to be loaded, and too much waits for that already.
        """
        if target.version is None:
            return self._registry.resolve(target.task, target.alias)
        return await self._version(target.task, target.version)

    def everything(self) -> list[Target]:
        """Every task that can be served now, by name."""
        return [Target(task) for task, entry in sorted(self._registry.table.items()) if entry.reason is None]

    async def _version(self, task: str, number: int) -> Served:
        entry = self._registry.table.get(task)
        if entry is None:
            raise UnknownTask("no task of this name is published")
        if entry.live is SUSPENDED:
            raise TaskUnavailable(f"this task cannot be served here: {SUSPENDED.reason}")
        for served in entry.served():
            if served.info.version == number:
                return served
        generation, kept = self._kept.get((task, number), (None, None))
        if kept is None or generation != entry.generation:
            kept = await self._registrar.change(lambda: self._load(task, number))
            self._keep(kept, entry.generation)
        self._kept.move_to_end((task, number))
        return kept

    def _load(self, task: str, number: int) -> Served:
        """In the registry's thread."""
        state = self._store.snapshot().tasks.get(task)
        if state is None:
            raise UnknownTask("no task of this name is published")
        if number not in state.versions:
            raise UnknownVersion("the task has no such version")
        served = self._registry.load(task, state.versions[number])
        self._registry.release([served.info.sha256])  # what is kept here holds its weights itself
        return served

    def _keep(self, served: Served, generation: int) -> None:
        self._kept[served.task, served.info.version] = generation, served
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
