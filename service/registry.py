"""Which version of which task answers: follows the store, and keeps what aliases point at resident in the engine.

A new version is fully resident before a task points to it, and the old one is let go afterwards; requests under way
hold what they began with. What cannot be served is listed with its reason and harms no other task, and no other alias
of its own. Reading the table is safe from any thread; everything that changes it belongs to one thread at a time.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from adapters_store import AdaptersStoreError, Manifest, Store, TaskState, VersionInfo, unpack
from adapters_store.store_errors import UnknownAlias
from service.engine import Engine, EngineError, Resident
from service.errors import TaskUnavailable, UnknownTask

ALIAS = "live"
_RETRY_SECONDS = 30.0  # until a version that could not be loaded is tried again

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One version of a task, ready to answer."""

    task: str
    info: VersionInfo
    manifest: Manifest
    resident: Resident


@dataclass(frozen=True, slots=True, eq=False)
class Pointer:
    """What an alias stands for: versions with their weights, or why there is none."""

    split: tuple[tuple[Served, int], ...] = ()
    reason: str | None = None


_NOT_LIVE = Pointer(reason="no version is live")
SUSPENDED = Pointer(reason="unloaded on this server")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What a task name stands for: each alias with what it points at."""

    generation: int
    pointers: Mapping[str, Pointer] = field(default_factory=dict)
    retry_at: float = float("inf")  # monotonic seconds

    @property
    def live(self) -> Pointer:
        """What answers unless another alias is asked for."""
        return self.pointers.get(ALIAS, _NOT_LIVE)

    @property
    def split(self) -> tuple[tuple[Served, int], ...]:
        """The live versions with their weights."""
        return self.live.split

    @property
    def reason(self) -> str | None:
        """Why no version answers, where none does."""
        return self.live.reason

    def served(self) -> Iterator[Served]:
        """Every version that an alias points at and that is ready; one may come more than once."""
        return (served for pointer in self.pointers.values() for served, _ in pointer.split)

    def current(self, generation: int, now: float) -> bool:
        """Whether nothing has to be loaded for this generation of the task."""
        return self.generation == generation and now < self.retry_at


Table = Mapping[str, Entry]
Replaced = Callable[[Table, Table], None]


class Registry:
    """The table of tasks, only ever replaced, and the only writer of it; `generation` is the store's as of it."""

    def __init__(self, store: Store, engine: Engine, *, on_replaced: Replaced = lambda old, new: None) -> None:
        """Begin empty; `on_replaced` is told the old table and the new, in the thread that noticed."""
        self._store, self._engine, self._on_replaced = store, engine, on_replaced
        self.table: Table = {}
        self._suspended: frozenset[str] = frozenset()
        self.generation = -1

    def resolve(self, task: str, alias: str = ALIAS) -> Served:
        """The version that answers for a task now, drawn by weight where the alias is split.

        Raises:
            UnknownTask, TaskUnavailable: see errors.py.
            UnknownAlias: the task is there, such an alias is not; that `live` is missing makes it unavailable.
        """
        entry = self._entry_of(task)
        pointer = entry.live if alias == ALIAS else entry.pointers.get(alias)
        if pointer is None:
            raise UnknownAlias("the task has no such alias")
        if pointer.reason is not None:
            raise TaskUnavailable(f"this task cannot be served here: {pointer.reason}")
        served, weights = zip(*pointer.split, strict=True)
        choice: Served = served[0] if len(served) == 1 else random.choices(served, weights)[0]
        return choice

    def sync(self) -> None:
        """Take over what changed in the store.

        Raises:
            StoreError: the store cannot be read; the table stays as it was.
        """
        now = time.monotonic()
        due = any(entry.retry_at <= now for entry in self.table.values())
        if self.generation >= 0 and not due and not self._store.changes(self.generation):
            return
        state = self._store.snapshot()
        self._replace({task: self._entry(task, tasks, now) for task, tasks in state.tasks.items()})
        self.generation = state.generation

    def suspend(self, task: str) -> None:
        """Serve a task here no more and let go of its weights, whatever is published, until `resume`.

        Raises:
            UnknownTask: there is none.
        """
        entry = self._entry_of(task)
        self._suspended |= {task}
        self._replace({**self.table, task: Entry(entry.generation, dict.fromkeys([ALIAS, *entry.pointers], SUSPENDED))})

    def resume(self, task: str) -> None:
        """Look at a task afresh, and serve it here again.

        Raises:
            UnknownTask, StoreError: there is none, or the store cannot be read now.
        """
        self.sync()
        entry = self._entry_of(task)
        self._suspended -= {task}
        self.table = {**self.table, task: replace(entry, retry_at=0.0)}  # due
        self.sync()

    def load(self, task: str, info: VersionInfo) -> Served:
        """A version, made resident; `release` lets go of it unless a task points to it by then.

        Raises:
            StoreError, ArtifactError, AdmissionError: its bytes cannot be read, or not be served here.
        """
        for served in self._known(task):
            if served.info == info:
                return served
        adapter = unpack(self._store.read(info.sha256))
        return Served(task, info, adapter.manifest, self._engine.admit(adapter, info.sha256))

    def release(self, hashes: Iterable[str]) -> None:
        """Let go of contents that no task names any more; requests under way keep theirs."""
        named = {served.info.sha256 for entry in self.table.values() for served in entry.served()}
        for sha256 in set(hashes) - named:
            self._engine.evict(sha256)

    def _entry_of(self, task: str) -> Entry:
        if task not in self.table:
            raise UnknownTask("no task of this name is published")
        return self.table[task]

    def _known(self, task: str) -> Iterator[Served]:
        return self.table[task].served() if task in self.table else iter(())

    def _entry(self, task: str, state: TaskState, now: float) -> Entry:
        known = self.table.get(task)
        if known is not None and known.current(state.generation, now):
            return known
        return self._read(task, state, now)

    def _read(self, task: str, state: TaskState, now: float) -> Entry:
        if task in self._suspended:
            return Entry(state.generation, dict.fromkeys([ALIAS, *state.aliases], SUSPENDED))
        pointers = {alias: self._pointer(task, state, split) for alias, split in state.aliases.items()}
        failed = any(pointer.reason for pointer in pointers.values())
        return Entry(state.generation, pointers, now + _RETRY_SECONDS if failed else float("inf"))

    def _pointer(self, task: str, state: TaskState, split: Mapping[int, int]) -> Pointer:
        try:
            return Pointer(tuple((self.load(task, state.versions[n]), weight) for n, weight in split.items() if weight))
        except (AdaptersStoreError, EngineError) as error:
            logger.warning("task %s cannot be served: %s", task, type(error).__name__)
            return Pointer(reason=(type(error).__doc__ or "").strip())

    def _replace(self, table: Table) -> None:
        old, self.table = self.table, table
        self.release(served.info.sha256 for entry in old.values() for served in entry.served())
        for task in old.keys() - table.keys():
            self._suspended -= {task}  # another task of this name is another task
        self._on_replaced(old, table)
