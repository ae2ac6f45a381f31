"""Which version of which task answers: follows the store, and keeps the live versions resident in the engine.

A new version is fully resident before a task points to it, and the old one is let go afterwards; requests under way
hold what they began with. What cannot be served is listed with its reason and harms no other task. Reading the table
is safe from any thread; everything that changes it belongs to one thread at a time.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from adapters_store import AdaptersStoreError, Manifest, Store, TaskState, VersionInfo, digest, unpack
from service.engine import Engine, EngineError, GoldenCheck, Resident
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
class Entry:
    """What a task name stands for: versions with their weights in the live alias, or why there is none."""

    generation: int
    split: tuple[tuple[Served, int], ...]
    reason: str | None = None
    retry_at: float = float("inf")  # monotonic seconds

    def current(self, generation: int, now: float) -> bool:
        """Whether nothing has to be loaded for this generation of the task."""
        return self.generation == generation and now < self.retry_at


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload led to."""

    info: VersionInfo
    created: bool
    golden: GoldenCheck


class Registry:
    """The table of tasks, and the only writer of it."""

    def __init__(self, store: Store, engine: Engine, *, on_removed: Callable[[str], None] = lambda task: None) -> None:
        """Begin empty; `on_removed` is told each task that is gone, in the thread that noticed."""
        self._store, self._engine, self._on_removed = store, engine, on_removed
        self._table: Mapping[str, Entry] = {}
        self._generation = -1

    @property
    def table(self) -> Mapping[str, Entry]:
        """All tasks as of now; never changed, only replaced."""
        return self._table

    def resolve(self, task: str) -> Served:
        """The version that answers for a task now, drawn by weight where the alias is split.

        Raises:
            UnknownTask, TaskUnavailable: see errors.py.
        """
        entry = self._table.get(task)
        if entry is None:
            raise UnknownTask("no task of this name is published")
        if entry.reason is not None:
            raise TaskUnavailable(f"this task cannot be served here: {entry.reason}")
        served, weights = zip(*entry.split, strict=True)
        choice: Served = served[0] if len(served) == 1 else random.choices(served, weights)[0]
        return choice

    def sync(self) -> None:
        """Take over what changed in the store.

        Raises:
            StoreError: the store cannot be read; the table stays as it was.
        """
        now = time.monotonic()
        due = any(entry.retry_at <= now for entry in self._table.values())
        if self._generation >= 0 and not due and not self._store.changes(self._generation):
            return
        state = self._store.snapshot()
        self._replace({task: self._entry(task, tasks, now) for task, tasks in state.tasks.items()})
        self._generation = state.generation

    def upload(self, task: str, data: bytes) -> Uploaded:
        """Check a task adapter file completely, publish it, and let it answer.

        Raises:
            ArtifactError, AdmissionError, GoldenError: refused; nothing was published.
            StoreError: it could not be kept; nothing was published.
        """
        sha256 = digest(data)
        adapter = unpack(data)
        golden = self._engine.verify(adapter)
        try:
            self._engine.admit(adapter, sha256)
            published = self._store.publish(task, data, alias=ALIAS)
            self.sync()
        finally:
            self._evict([sha256])
        logger.info("published task %s version %d, sha256 %s", task, published.version.version, sha256)
        return Uploaded(published.version, published.created, golden)

    def delete(self, task: str) -> None:
        """Delete a task with all its versions.

        Raises:
            UnknownTask: it is not published.
            StoreError: the store could not be changed.
        """
        if task not in self._table:
            self.sync()
        if task not in self._table:
            raise UnknownTask("no task of this name is published")
        self._store.delete_task(task)
        self.sync()
        logger.info("deleted task %s", task)

    def _entry(self, task: str, state: TaskState, now: float) -> Entry:
        known = self._table.get(task)
        if known is not None and known.current(state.generation, now):
            return known
        try:
            split = tuple((self._load(task, state.versions[n]), weight) for n, weight in _live(state).items() if weight)
        except (AdaptersStoreError, EngineError) as error:
            reason = (type(error).__doc__ or "").strip()
            logger.warning("task %s cannot be served: %s", task, type(error).__name__)
            return Entry(state.generation, (), reason, now + _RETRY_SECONDS)
        return Entry(state.generation, split, None if split else "no version is live")

    def _load(self, task: str, info: VersionInfo) -> Served:
        known = self._table.get(task)
        for served, _ in known.split if known else ():
            if served.info == info:
                return served
        adapter = unpack(self._store.read(info.sha256))
        return Served(task, info, adapter.manifest, self._engine.admit(adapter, info.sha256))

    def _replace(self, table: Mapping[str, Entry]) -> None:
        old, self._table = self._table, table
        self._evict(served.info.sha256 for entry in old.values() for served, _ in entry.split)
        for task in old.keys() - table.keys():
            self._on_removed(task)

    def _evict(self, hashes: Iterable[str]) -> None:
        """Let go of contents that no task names any more; requests under way keep theirs."""
        named = {served.info.sha256 for entry in self._table.values() for served, _ in entry.split}
        for sha256 in set(hashes) - named:
            self._engine.evict(sha256)


def _live(state: TaskState) -> Mapping[int, int]:
    return state.aliases.get(ALIAS, {})
