"""What an alias pointed at before: read out of the store's log of changes, newest part first. Changes nothing."""

from collections.abc import Iterable, Mapping

from adapters_store import Change, Store
from adapters_store.events import AliasDeleted, AliasMoved, Event, Seeded, TaskDeleted, VersionAdded
from service import splits

_FIRST_LOOK = 64  # entries of the log; each further look goes eight times as far back
_FURTHER = 8

Target = Mapping[int, int] | None  # version -> weight; None: the alias was not there


def target_before(store: Store, task: str, alias: str, *, generation: int) -> Target:
    """What an alias pointed at before its last move; None where there was nothing.

    Args:
        store: whose log is read.
        task: the alias's task.
        alias: its name.
        generation: of the store, as just read; the search begins there.

    Raises:
        StoreError: the log cannot be read.
    """
    look = _FIRST_LOOK
    while True:
        after = max(0, generation - look)
        found = targets(store.changes(after), task, alias)
        if len(found) > 1:
            return found[-2]
        if not after:
            return None
        look *= _FURTHER


def targets(changes: Iterable[Change], task: str, alias: str) -> list[Target]:
    """What an alias pointed at after each change that concerned it, oldest first."""
    return [target for change in changes for target in _targets(change.event, task, alias)]


def _targets(event: Event, task: str, alias: str) -> list[Target]:
    match event:
        case VersionAdded(task=name, alias=pointer, version=version) if (name, pointer) == (task, alias):
            return [splits.whole(version)]
        case Seeded(added=added):
            return [target for one in added for target in _targets(one, task, alias)]
        case AliasMoved(task=name, alias=pointer, split=split) if (name, pointer) == (task, alias):
            return [split]
        case AliasDeleted(task=name, alias=pointer) if (name, pointer) == (task, alias):
            return [None]
        case TaskDeleted(task=name) if name == task:
            return [None]
    return []
