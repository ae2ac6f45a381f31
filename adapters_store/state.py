"""The state of the store at one generation, and `apply`, which computes the next state from a change.

States are immutable. `apply` is a pure function and the log's only meaning, the same for every backend.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from adapters_store.errors import CorruptLog
from adapters_store.events import (
    FORMAT,
    AliasDeleted,
    AliasMoved,
    BlobsCollected,
    Change,
    Seeded,
    StateRepaired,
    TaskDeleted,
    TaskDescribed,
    VersionAdded,
    VersionDeleted,
    as_corrupt_log,
    encode_change,
    hash_entry,
    parse_log_object,
)
from adapters_store.strict_json import canonical, read_dataclass

SOLE_WEIGHT = 100  # of a version that is the only one an alias points at


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One immutable version of a task."""

    version: int
    sha256: str
    size: int  # bytes
    created_at: float  # seconds since 1970
    blob: str  # name of the bytes in this backend; callers use the hash


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task: its versions, and the aliases that point at them."""

    generation: int  # of the last change to this task
    last_version: int  # highest number ever given
    versions: Mapping[int, VersionInfo] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # alias -> version -> weight
    description: str = ""  # empty: the one in its task adapter file


@dataclass(frozen=True, slots=True)
class State:
    """All tasks at one generation."""

    generation: int = 0
    tasks: Mapping[str, TaskState] = field(default_factory=dict)
    retired: Mapping[str, int] = field(default_factory=dict)  # deleted task -> highest number ever given
    swept: int = 0  # generation of the last sweep that removed blobs
    head: str = ""  # hash of the last entry
    format: int = FORMAT

    def task_generation(self, task: str) -> int:
        """Return the generation of a task, 0 if it does not exist."""
        return self.tasks[task].generation if task in self.tasks else 0

    def last_version(self, task: str) -> int:
        """Return the highest version number that a task ever had, also before it was deleted."""
        return self.tasks[task].last_version if task in self.tasks else self.retired.get(task, 0)

    def versions(self) -> Iterator[VersionInfo]:
        """Yield every version of every task."""
        for task in self.tasks.values():
            yield from task.versions.values()


def apply(state: State, change: Change) -> State:
    """Return the state after a change.

    Raises:
        CorruptLog: The change does not follow from the state.
    """
    if change.generation != state.generation + 1 or change.previous != state.head:
        raise CorruptLog(f"entry {change.generation} does not follow entry {state.generation}")
    try:
        applied = _applied(state, change)
        return replace(applied, generation=change.generation, head=hash_entry(encode_change(change)))
    except KeyError as error:
        raise CorruptLog(f"entry {change.generation} names {error}, which does not exist") from error


def _applied(state: State, change: Change) -> State:  # noqa: PLR0911
    match change.event:
        case VersionAdded() as added:
            return _add(state, change, [added])
        case Seeded(added=added):
            return _add(state, change, added)
        case AliasMoved() as moved:
            return _move(state, change, moved)
        case AliasDeleted() as deleted:
            return _delete_alias(state, change, deleted)
        case VersionDeleted() as deleted:
            return _delete_version(state, change, deleted)
        case TaskDeleted() as deleted:
            return _retire(state, deleted)
        case TaskDescribed(task=name, text=text):
            return _put(state, change, name, replace(state.tasks[name], description=text))
        case BlobsCollected():
            return replace(state, swept=change.generation)
        case StateRepaired(state=repaired):
            with as_corrupt_log():
                return read_dataclass(State, repaired, "state")
    return state  # the one kind left: EntryLost


def _add(state: State, change: Change, added: Iterable[VersionAdded]) -> State:
    tasks, retired = dict(state.tasks), dict(state.retired)  # one copy for all of them: a seed may add thousands
    for one in added:
        before = tasks.get(one.task) or TaskState(0, retired.pop(one.task, 0))
        if one.version != before.last_version + 1:
            raise CorruptLog(f"entry {change.generation} adds version {one.version} out of order")
        info = VersionInfo(one.version, one.sha256, one.size, change.at, one.blob)
        aliases = {**before.aliases, one.alias: {one.version: SOLE_WEIGHT}} if one.alias else before.aliases
        versions = {**before.versions, one.version: info}
        tasks[one.task] = TaskState(change.generation, one.version, versions, aliases, before.description)
    return replace(state, tasks=tasks, retired=retired)


def _move(state: State, change: Change, moved: AliasMoved) -> State:
    task = state.tasks[moved.task]
    split = {task.versions[version].version: weight for version, weight in moved.split.items()}
    return _put(state, change, moved.task, replace(task, aliases={**task.aliases, moved.alias: split}))


def _delete_alias(state: State, change: Change, deleted: AliasDeleted) -> State:
    task = state.tasks[deleted.task]
    aliases = dict(task.aliases)
    del aliases[deleted.alias]
    return _put(state, change, deleted.task, replace(task, aliases=aliases))


def _delete_version(state: State, change: Change, deleted: VersionDeleted) -> State:
    task = state.tasks[deleted.task]
    versions = dict(task.versions)
    del versions[deleted.version]
    return _put(state, change, deleted.task, replace(task, versions=versions))


def _retire(state: State, deleted: TaskDeleted) -> State:
    tasks = dict(state.tasks)
    last_version = tasks.pop(deleted.task).last_version
    return replace(state, tasks=tasks, retired={**state.retired, deleted.task: last_version})


def _put(state: State, change: Change, name: str, task: TaskState) -> State:
    return replace(state, tasks={**state.tasks, name: replace(task, generation=change.generation)})


def encode_state(state: State) -> bytes:
    """Return a snapshot as bytes."""
    return canonical(state).encode()


def decode_state(data: bytes) -> State:
    """Read a snapshot.

    Raises:
        CorruptLog: The bytes are not a snapshot of this release.
    """
    with as_corrupt_log():
        state = read_dataclass(State, parse_log_object(data), "snapshot")
    if state.format != FORMAT:
        raise CorruptLog(f"snapshot format {state.format}, this release reads {FORMAT}")
    return state
