"""The log's one meaning: `apply` turns a state and the next change into the next state. Pure; every home shares it."""

from collections.abc import Iterable
from dataclasses import replace

from adapters_store.events import (
    AliasDeleted,
    AliasMoved,
    Change,
    Seeded,
    TaskDeleted,
    TaskDescribed,
    VersionAdded,
    VersionDeleted,
)
from adapters_store.state import State, TaskState, VersionInfo
from adapters_store.store_errors import CorruptLog

WHOLE = 100  # the weight of a version that an alias points at alone


def apply(state: State, change: Change) -> State:
    """Return the state after a change.

    Raises:
        CorruptLog: The change does not follow from the state.
    """
    if change.generation != state.generation + 1:
        raise CorruptLog(f"entry {change.generation} follows entry {state.generation}")
    try:
        return replace(_applied(state, change), generation=change.generation)
    except KeyError as error:
        raise CorruptLog(f"entry {change.generation} speaks of {error}, which is not there") from error


def _applied(state: State, change: Change) -> State:
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
    return replace(state, swept=change.generation)  # the one kind left: BlobsCollected


def _add(state: State, change: Change, added: Iterable[VersionAdded]) -> State:
    tasks, retired = dict(state.tasks), dict(state.retired)  # one copy for all: a seed brings thousands
    for one in added:
        before = tasks.get(one.task) or TaskState(0, retired.pop(one.task, 0))
        if one.version != before.last_version + 1:
            raise CorruptLog(f"entry {change.generation} adds version {one.version} out of order")
        info = VersionInfo(one.version, one.sha256, one.size, change.at, one.blob)
        aliases = {**before.aliases, one.alias: {one.version: WHOLE}} if one.alias else before.aliases
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
