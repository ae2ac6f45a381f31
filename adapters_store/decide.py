"""What a request means in a given state: the event to log, nothing to do, or a refusal. Pure; every home shares it.

`expected` is the generation the caller saw the task at: None for "whatever it is", 0 for "it must not exist".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters_store.events import AliasDeleted, AliasMoved, TaskDeleted, TaskDescribed, VersionAdded, VersionDeleted
from adapters_store.log import WHOLE
from adapters_store.manifest_text import LONGEST_DESCRIPTION
from adapters_store.names import check_alias, check_task
from adapters_store.records import is_printable
from adapters_store.state import State, TaskState, VersionInfo
from adapters_store.store_errors import (
    InvalidDescription,
    InvalidSplit,
    StaleGeneration,
    UnknownAlias,
    UnknownTask,
    UnknownVersion,
    VersionInUse,
)

HEAVIEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes that a task should have, known by their hash."""

    task: str
    sha256: str
    size: int
    alias: str | None

    def __post_init__(self) -> None:
        check_task(self.task)
        if self.alias is not None:
            check_alias(self.alias)


def publish(state: State, upload: Upload, expected: int | None) -> VersionAdded | AliasMoved | None:
    """Add a version, or, where the task has these bytes already, only point the alias at the version it has."""
    _check_generation(state, upload.task, expected)
    found = find_version(state, upload.task, upload.sha256)
    if found is None:
        version = state.last_version(upload.task) + 1
        return VersionAdded(upload.task, version, upload.sha256, upload.size, "", upload.alias or "")
    split = {found.version: WHOLE}
    if upload.alias is None or state.tasks[upload.task].aliases.get(upload.alias) == split:
        return None
    return AliasMoved(upload.task, upload.alias, split)


def move_alias(state: State, moved: AliasMoved, expected: int | None) -> AliasMoved | None:
    """Point an alias at one version or split it; nothing where it is so already."""
    check_alias(moved.alias)
    _check_split(moved.split)
    task = _task(state, moved.task, expected)
    for version in moved.split:
        _check_version(task, moved.task, version)
    return None if task.aliases.get(moved.alias) == moved.split else moved


def delete_alias(state: State, deleted: AliasDeleted, expected: int | None) -> AliasDeleted:
    """Drop an alias."""
    if deleted.alias not in _task(state, deleted.task, expected).aliases:
        raise UnknownAlias(f"task {deleted.task} has no such alias")
    return deleted


def delete_version(state: State, deleted: VersionDeleted, expected: int | None) -> VersionDeleted:
    """Drop a version that no alias points at."""
    task = _task(state, deleted.task, expected)
    _check_version(task, deleted.task, deleted.version)
    for alias, split in task.aliases.items():
        if deleted.version in split:
            raise VersionInUse(f"alias {alias} points at version {deleted.version} of task {deleted.task}")
    return deleted


def delete_task(state: State, deleted: TaskDeleted, expected: int | None) -> TaskDeleted:
    """Drop a task with all it has."""
    _task(state, deleted.task, expected)
    return deleted


def describe(state: State, described: TaskDescribed, expected: int | None) -> TaskDescribed | None:
    """Describe a task in other words; nothing where it has these already."""
    if len(described.text) > LONGEST_DESCRIPTION or not is_printable(described.text):
        raise InvalidDescription(f"a description is one line of at most {LONGEST_DESCRIPTION} characters")
    return None if _task(state, described.task, expected).description == described.text else described


def find_version(state: State, task: str, sha256: str) -> VersionInfo | None:
    """Return the version of a task that has these bytes."""
    versions = state.tasks[task].versions.values() if task in state.tasks else ()
    return next((info for info in versions if info.sha256 == sha256), None)


def _check_generation(state: State, task: str, expected: int | None) -> None:
    actual = state.task_generation(task)
    if expected is not None and expected != actual:
        raise StaleGeneration(task, expected, actual)


def _check_split(split: Mapping[int, int]) -> None:
    if not split or not all(type(weight) is int and 0 < weight <= HEAVIEST for weight in split.values()):
        raise InvalidSplit(f"a split names versions, each with a weight of 1 to {HEAVIEST}")


def _check_version(task: TaskState, name: str, version: int) -> None:
    if version not in task.versions:
        raise UnknownVersion(f"task {name} has no version {version}")


def _task(state: State, name: str, expected: int | None) -> TaskState:
    """Return a task that must be there, at the generation the caller expects."""
    check_task(name)
    _check_generation(state, name, expected)
    if name not in state.tasks:
        raise UnknownTask(f"there is no task {name}")
    return state.tasks[name]
