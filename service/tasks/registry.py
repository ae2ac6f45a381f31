"""Which version of which task answers: follows the store, and says which contents the engine should have at hand.

It knows every task by name and none by its weights: a task is in the table as soon as the store has it, and its
weights are loaded when they are needed, or ahead of that as far as there is room. A version that an alias is moved to
by this server is loaded before the alias moves; what nothing names any more is let go of. What cannot be served is
listed with its reason and harms no other task, and no other alias of its own. Reading the table is safe from any
thread; everything that changes it belongs to one thread at a time.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from adapters_store import AdaptersStoreError, Store, TaskState, VersionInfo
from adapters_store.errors import UnknownAlias, UnknownVersion
from service.engine import Engine, EngineError
from service.errors import TaskUnavailable, UnknownTask
from service.tasks.loads import Loads
from service.tasks.table import ALIAS, SUSPENDED, Contents, Entry, Named, Pointer, References, Table

ALL = "*"


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
            store: what to follow.
            engine: what to let go of contents.
            loads: what brings contents into the engine.
            pins: tasks whose live versions stay on the device; `*`: all.
            on_replaced: told the old table and the new, in the thread that noticed.
        """
        self._store, self._engine, self._loads, self._on_replaced = store, engine, loads, on_replaced
        self._pins = frozenset(pins)
        self.table: Table = {}
        self.pinned: frozenset[str] = frozenset()
        self._contents = Contents()
        self._suspended: frozenset[str] = frozenset()
        self._references = References()
        self.generation = -1

    def resolve(self, task: str, alias: str = ALIAS) -> Named:
        """The version that answers for a task now, drawn by weight where the alias is split.

        Raises:
            UnknownTask, TaskUnavailable: see errors.py.
            UnknownAlias: the task is there, such an alias is not; that `live` is missing makes it unavailable.
        """
        entry = self._entry_of(task)
        pointer = entry.live if alias == ALIAS else entry.pointers.get(alias)
        if pointer is None:
            raise UnknownAlias("the task has no such alias")
        if pointer.hopeless:
            raise TaskUnavailable(f"this task cannot be served here: {pointer.reason}")
        named, weights = zip(*pointer.split, strict=True)
        choice: Named = named[0] if len(named) == 1 else random.choices(named, weights)[0]
        return choice

    def version(self, task: str, number: int) -> Named:
        """One version of a task, whether an alias points at it or not.

        Raises:
            UnknownTask, UnknownVersion, TaskUnavailable: there is none, or it cannot be served here.
        """
        entry = self._entry_of(task)
        if entry.live is SUSPENDED:
            raise TaskUnavailable(f"this task cannot be served here: {SUSPENDED.reason}")
        if number not in entry.versions:
            raise UnknownVersion("the task has no such version")
        named = self._named(task, entry.versions[number])
        if named.content.hopeless:
            raise TaskUnavailable(f"this version cannot be served here: {named.content.reason}")
        return named

    def sync(self) -> None:
        """Take over what changed in the store.

        Raises:
            StoreError: the store cannot be read; the table stays as it was.
        """
        if self.generation >= 0 and not self._store.changes(self.generation):
            return
        state = self._store.snapshot()
        changed = {
            task: self._read(task, its)
            for task, its in state.tasks.items()
            if (known := self.table.get(task)) is None or known.generation != its.generation
        }
        self._replace(changed, gone=self.table.keys() - state.tasks.keys())
        self.generation = state.generation

    def suspend(self, task: str) -> None:
        """Serve a task here no more and let go of its weights, whatever is published, until `resume`.

        Raises:
            UnknownTask: there is none.
        """
        entry = self._entry_of(task)
        self._suspended |= {task}
        self._replace({task: Entry(entry.generation, dict.fromkeys([ALIAS, *entry.pointers], SUSPENDED))})

    def resume(self, task: str) -> None:
        """Look at a task afresh, load what its aliases point at, and serve it here again.

        Raises:
            UnknownTask, StoreError: there is none, or the store cannot be read now.
        """
        self.sync()
        entry = self._entry_of(task)
        self._suspended -= {task}
        self.table, self.generation = {**self.table, task: replace(entry, generation=-1)}, -1
        self.sync()
        for named in self._entry_of(task).named():
            with suppress(AdaptersStoreError, EngineError):  # the reason is listed
                self._loads.wait(named.content)

    def load(self, task: str, info: VersionInfo) -> None:
        """Have a version on the device; `release` lets go of it unless an alias points to it by then.

        Raises:
            StoreError, ArtifactError, AdmissionError: its bytes cannot be read, or not be served here.
        """
        self._loads.wait(self._named(task, info).content)

    def release(self, hashes: Iterable[str]) -> None:
        """Let go of contents that no alias points at any more; requests under way keep theirs."""
        for sha256 in set(hashes):
            if not self._references.aliased(sha256):
                self._engine.evict(sha256)

    def names(self, sha256: str) -> bool:
        """Whether any version of any task has this content."""
        return self._references.named(sha256)

    def live(self) -> Iterator[Named]:
        """Every version that an alias points at; one may come more than once."""
        return (named for entry in self.table.values() for named in entry.named())

    def _pinned_in(self, table: Table) -> frozenset[str]:
        tasks = table.keys() if ALL in self._pins else table.keys() & self._pins
        return frozenset(named.info.sha256 for task in tasks for named, _ in table[task].split)

    def _entry_of(self, task: str) -> Entry:
        if task not in self.table:
            raise UnknownTask("no task of this name is published")
        return self.table[task]

    def _read(self, task: str, state: TaskState) -> Entry:
        if task in self._suspended:
            return Entry(state.generation, dict.fromkeys([ALIAS, *state.aliases], SUSPENDED))
        pointers = {alias: self._pointer(task, state, split) for alias, split in state.aliases.items()}
        return Entry(state.generation, pointers, state.versions)

    def _pointer(self, task: str, state: TaskState, split: Mapping[int, int]) -> Pointer:
        return Pointer(tuple((self._named(task, state.versions[n]), weight) for n, weight in split.items() if weight))

    def _named(self, task: str, info: VersionInfo) -> Named:
        content = self._contents.of(info.sha256)
        if content.classes is None and (resident := self._engine.peek(info.sha256)) is not None:
            content.passed(resident)
        return Named(task, info, content)

    def _replace(self, changed: Mapping[str, Entry], gone: Collection[str] = ()) -> None:
        old = self.table
        left = {task: entry for task, entry in old.items() if task not in gone} if gone else old
        self.table = {**left, **changed}
        replaced = [old[task] for task in (*changed, *gone) if task in old]
        lost = self._references.replace(replaced, changed.values())
        self.pinned = self._pinned_in(self.table)
        self._engine.pin(self.pinned)
        for sha256 in lost:
            self._engine.evict(sha256)
        self._suspended -= set(gone)  # another task of such a name is another task
        self._on_replaced(old, self.table)
