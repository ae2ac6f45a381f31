"""Decides a request in a given state: an event to log, nothing to do, or a refusal. Pure functions.

`expected` is the generation the caller saw the task at: None for "any", 0 for "the task must not exist".
Names are checked here as well. Case is never folded: capitals are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from adapters_store.errors import (
    InvalidDescription,
    InvalidName,
    InvalidSplit,
    StaleGeneration,
    UnknownAlias,
    UnknownBlob,
    UnknownTask,
    UnknownVersion,
    VersionInUse,
)
from adapters_store.events import AliasDeleted, AliasMoved, TaskDeleted, TaskDescribed, VersionAdded, VersionDeleted
from adapters_store.manifest import LONGEST_DESCRIPTION
from adapters_store.state import SOLE_WEIGHT, State, TaskState, VersionInfo
from adapters_store.strict_json import is_printable, shown

TASK_PATTERN = "[a-z0-9][a-z0-9_-]{0,63}"
ALIAS_PATTERN = "[a-z][a-z0-9_-]{0,63}"  # no leading digit, so that an alias is never taken for a version
MAX_WEIGHT = 1_000_000  # of one version in a split
_TASK, _ALIAS, _SHA256 = re.compile(TASK_PATTERN), re.compile(ALIAS_PATTERN), re.compile("[0-9a-f]{64}")


def check_task(name: str) -> None:
    """Raise InvalidName unless the whole name fits `TASK_PATTERN`."""
    if not _TASK.fullmatch(name):
        raise InvalidName(f"task {shown(name)} does not fit {TASK_PATTERN}")


def check_alias(name: str) -> None:
    """Raise InvalidName unless the whole name fits `ALIAS_PATTERN`."""
    if not _ALIAS.fullmatch(name):
        raise InvalidName(f"alias {shown(name)} does not fit {ALIAS_PATTERN}")


def check_sha256(text: str) -> None:
    """Raise UnknownBlob unless the text has the form of a hash."""
    if not _SHA256.fullmatch(text):
        raise UnknownBlob(f"{shown(text)} is not a SHA-256")


@dataclass(frozen=True, slots=True)
class Upload:
    """A request to publish bytes, known by their hash."""

    task: str
    sha256: str
    size: int
    alias: str | None

    def __post_init__(self) -> None:
        check_task(self.task)
        if self.alias is not None:
            check_alias(self.alias)


def publish(state: State, upload: Upload, expected: int | None) -> VersionAdded | AliasMoved | None:
    """Add a version. If the task has these bytes already, only point the alias at that version."""
    _check_generation(state, upload.task, expected)
    found = find_version(state, upload.task, upload.sha256)
    if found is None:
        version = state.last_version(upload.task) + 1
        return VersionAdded(upload.task, version, upload.sha256, upload.size, "", upload.alias or "")
    split = {found.version: SOLE_WEIGHT}
    if upload.alias is None or state.tasks[upload.task].aliases.get(upload.alias) == split:
        return None
    return AliasMoved(upload.task, upload.alias, split)


def move_alias(state: State, moved: AliasMoved, expected: int | None) -> AliasMoved | None:
    """Point an alias at one version, or split it; None if it points there already."""
    check_alias(moved.alias)
    _check_split(moved.split)
    task = _task(state, moved.task, expected)
    for version in moved.split:
        _check_version(task, moved.task, version)
    return None if task.aliases.get(moved.alias) == moved.split else moved


def delete_alias(state: State, deleted: AliasDeleted, expected: int | None) -> AliasDeleted:
    """Delete an alias."""
    if deleted.alias not in _task(state, deleted.task, expected).aliases:
        raise UnknownAlias(f"task {deleted.task} has no such alias")
    return deleted


def delete_version(state: State, deleted: VersionDeleted, expected: int | None) -> VersionDeleted:
    """Delete a version that no alias points at."""
    task = _task(state, deleted.task, expected)
    _check_version(task, deleted.task, deleted.version)
    for alias, split in task.aliases.items():
        if deleted.version in split:
            raise VersionInUse(f"alias {alias} points at version {deleted.version} of task {deleted.task}")
    return deleted


def delete_task(state: State, deleted: TaskDeleted, expected: int | None) -> TaskDeleted:
    """Delete a task with all its versions and aliases."""
    _task(state, deleted.task, expected)
    return deleted


def describe(state: State, described: TaskDescribed, expected: int | None) -> TaskDescribed | None:
    """Give a task another description; None if it has this one already."""
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
    if not split or not all(type(weight) is int and 0 < weight <= MAX_WEIGHT for weight in split.values()):
        raise InvalidSplit(f"a split names versions, each with a weight of 1 to {MAX_WEIGHT}")


def _check_version(task: TaskState, name: str, version: int) -> None:
    if version not in task.versions:
        raise UnknownVersion(f"task {name} has no version {version}")


def _task(state: State, name: str, expected: int | None) -> TaskState:
    """Return an existing task, if it is at the generation that the caller expects."""
    check_task(name)
    _check_generation(state, name, expected)
    if name not in state.tasks:
        raise UnknownTask(f"there is no task {name}")
    return state.tasks[name]
