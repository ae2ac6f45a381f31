"""Follows the store. Decides which version of a task answers, and which contents the engine keeps.

A task is in the table as soon as it is in the store. Its weights are loaded ahead while there is room, or when a
request needs them. When this server moves an alias, it loads the version first. It evicts a content that no version
names any more. A version that cannot be served is listed with the reason; all others go on.

Any thread may read the table. Only one thread at a time may change it.
"""

import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from adapters_store import AdaptersStoreError, State, Store, TaskState, VersionInfo
from adapters_store.errors import StoreReplaced, UnknownAlias, UnknownVersion
from service.engine import Engine, EngineError
from service.errors import UnknownTask
from service.tasks.loads import Loads
from service.tasks.splits import sticky
from service.tasks.table import (
    ALIAS,
    SUSPENDED,
    AliasTarget,
    ContentReferences,
    Contents,
    Table,
    TaskEntry,
    TaskVersion,
)

ALL = "*"


logger = logging.getLogger(__name__)


class Registry:
    """The table of tasks, and the only writer of it.

    Attributes:
        table: all tasks as of now; never changed, only replaced.
        pinned: contents that stay on the device.
        generation: of the store as last taken over; -1 before that.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        loads: Loads,
        *,
        pins: Collection[str] = (),
        on_replaced: Callable[[Table, Table], None] = lambda old, new: None,
    ) -> None:
        """Begin empty.

        Args:
            store: what is followed.
            engine: whose memory holds contents.
            loads: what brings contents into the engine.
            pins: tasks whose live versions stay on the device; `*`: all.
            on_replaced: called with the old table and the new, in the thread that changes it.
        """
        self._store, self._engine, self._loads, self._on_replaced = store, engine, loads, on_replaced
        self._pins = frozenset(pins)
        self.table: Table = {}
        self.pinned: frozenset[str] = frozenset()
        self._contents = Contents()
        self._suspended: frozenset[str] = frozenset()
        self._references = ContentReferences()
        self.generation, self._head = -1, ""
        self._faults: tuple[object, ...] = ()

    def resolve(self, task: str, alias: str = ALIAS, *, key: str | None = None) -> TaskVersion:
        """The version that answers for a task now, where the alias is split drawn by weight, or chosen by the key.

        Raises:
            UnknownTask, TaskUnavailable: see errors.py.
            UnknownAlias: the task is there, such an alias is not; that `live` is missing makes it unavailable.
        """
        entry = self._entry_of(task)
        target = entry.live if alias == ALIAS else entry.targets.get(alias)
        if target is None:
            raise UnknownAlias("the task has no such alias")
        if target.must_wait:
            raise target.unavailable()
        weights = {named.info.version: weight for named, weight in target.split}
        if len(weights) == 1:
            return target.split[0][0]
        if key is None:
            choice: TaskVersion = random.choices([named for named, _ in target.split], list(weights.values()))[0]
            return choice
        number = sticky(task, weights, key)
        return next(named for named, _ in target.split if named.info.version == number)

    def version(self, task: str, number: int) -> TaskVersion:
        """One version of a task, whether an alias points at it or not.

        Raises:
            UnknownTask, UnknownVersion, TaskUnavailable: there is none, or it cannot be served here.
        """
        entry = self._entry_of(task)
        if entry.live is SUSPENDED:
            raise SUSPENDED.unavailable()
        if number not in entry.versions:
            raise UnknownVersion("the task has no such version")
        named = self._named(task, entry.versions[number])
        if named.content.must_wait:
            raise named.content.unavailable("this version")
        return named

    def sync(self) -> None:
        """Take over what changed in the store.

        Raises:
            StoreError: the store cannot be read; the table stays as it was.
        """
        try:
            state, known = self._store.snapshot(), self.table
        except StoreReplaced as error:
            logger.error("the store was replaced while it was served (%s): reading it anew", error)
            self._store.reload()
            state, known = self._store.snapshot(), {}  # equal numbers may stand for other versions now
            self.generation = -1
        self._log_faults()
        if self.generation < 0 or state.head != self._head:
            self._take_over(state, known)

    def _take_over(self, state: State, known: Table) -> None:
        changed = {
            task: self._read(task, its)
            for task, its in state.tasks.items()
            if task not in known or known[task].generation != its.generation
        }
        self._replace(changed, gone=self.table.keys() - state.tasks.keys())
        self.generation, self._head = state.generation, state.head

    @property
    def offline(self) -> bool:
        """Whether the table is that of a cache, because the store has not been reached since the start."""
        return self._store.offline

    def _log_faults(self) -> None:
        faults = self._store.faults
        for fault in faults if faults != self._faults else ():
            logger.error("a part of the store cannot be read, and it takes no changes: %s", fault)
        self._faults = faults

    def suspend(self, task: str) -> None:
        """Stop serving a task on this server and evict its weights until `resume`, also if a new version is published.

        Raises:
            UnknownTask: there is none.
        """
        entry = self._entry_of(task)
        self._suspended |= {task}
        self._replace({task: TaskEntry(entry.generation, dict.fromkeys([ALIAS, *entry.targets], SUSPENDED))})

    def resume(self, task: str) -> None:
        """Read a task from the store again, load the versions that its aliases point at, and serve it here again.

        Raises:
            UnknownTask, StoreError: there is none, or the store cannot be read now.
        """
        self.sync()
        entry = self._entry_of(task)
        self._suspended -= {task}
        self.table, self.generation = {**self.table, task: replace(entry, generation=-1)}, -1
        self.sync()
        for named in self._entry_of(task).aliased():
            with suppress(AdaptersStoreError, EngineError):  # the reason is listed
                self._loads.wait(named.content)

    def load(self, task: str, info: VersionInfo) -> None:
        """Load a version; `release` evicts it again unless an alias points to it by then.

        Raises:
            StoreError, ArtifactError, AdmissionError: its bytes cannot be read, or not be served here.
        """
        self._loads.wait(self._named(task, info).content)

    def release(self, hashes: Iterable[str]) -> None:
        """Evict those of these contents that no alias points at; requests under way keep their weights."""
        for sha256 in set(hashes):
            if not self._references.aliased(sha256):
                self._engine.evict(sha256)

    def names(self, sha256: str) -> bool:
        """Whether any version of any task has this content."""
        return self._references.named(sha256)

    def live(self) -> Iterator[TaskVersion]:
        """Every version that an alias points at; one may come more than once."""
        return (named for entry in self.table.values() for named in entry.aliased())

    def _pinned_in(self, table: Table) -> frozenset[str]:
        tasks = table.keys() if ALL in self._pins else table.keys() & self._pins
        return frozenset(named.info.sha256 for task in tasks for named, _ in table[task].split)

    def _entry_of(self, task: str) -> TaskEntry:
        if task not in self.table:
            raise UnknownTask("no task of this name is published")
        return self.table[task]

    def _read(self, task: str, state: TaskState) -> TaskEntry:
        if task in self._suspended:
            return TaskEntry(state.generation, dict.fromkeys([ALIAS, *state.aliases], SUSPENDED))
        targets = {alias: self._alias_target(task, state, split) for alias, split in state.aliases.items()}
        return TaskEntry(state.generation, targets, state.versions)

    def _alias_target(self, task: str, state: TaskState, split: Mapping[int, int]) -> AliasTarget:
        return AliasTarget(
            tuple((self._named(task, state.versions[n]), weight) for n, weight in split.items() if weight)
        )

    def _named(self, task: str, info: VersionInfo) -> TaskVersion:
        content = self._contents.of(info.sha256)
        if content.classes is None and (resident := self._engine.peek(info.sha256)) is not None:
            content.passed(resident)
        return TaskVersion(task, info, content)

    def _replace(self, changed: Mapping[str, TaskEntry], gone: Collection[str] = ()) -> None:
        old = self.table
        left = {task: entry for task, entry in old.items() if task not in gone} if gone else old
        self.table = {**left, **changed}
        replaced = [old[task] for task in (*changed, *gone) if task in old]
        lost = self._references.replace(replaced, changed.values())
        self.pinned = self._pinned_in(self.table)
        self._engine.pin(self.pinned)
        for sha256 in lost:
            self._engine.evict(sha256)
        self._suspended -= set(gone)  # a task that is published later under this name is not suspended
        self._on_replaced(old, self.table)
