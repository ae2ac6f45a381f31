"""Changes of what is published: aliases are moved, split, rolled back and deleted; versions and tasks are deleted.

Each change is made in the store, by compare-and-swap if the caller asks for it. Then the registry reads it, so it is
in force when the call returns. Knows no HTTP; belongs to the registry's thread.
"""

import logging
from collections.abc import Iterable, Mapping

from adapters_store import Change, Store, TaskState, VersionInfo
from adapters_store.errors import StaleGeneration, UnknownAlias, UnknownTask, UnknownVersion
from adapters_store.events import AliasDeleted, AliasMoved, Event, Seeded, TaskDeleted, VersionAdded
from service.errors import ChangedMeanwhile, ConfirmationRequired, NothingToRollBack
from service.tasks import splits
from service.tasks.conditions import Condition, tag
from service.tasks.registry import Registry
from service.tasks.splits import Split
from service.tasks.table import ALIAS

ANYWAY = Condition()
PastSplit = Mapping[int, int] | None  # version -> weight; None: the alias did not exist

_FIRST_LOOK = 64  # entries of the log; each further look goes eight times as far back
_FURTHER = 8

logger = logging.getLogger(__name__)


class Lifecycle:
    """Changes the store, and makes the registry follow at once."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry

    def move_alias(self, task: str, alias: str, split: Split, condition: Condition = ANYWAY) -> int:
        """Point an alias at versions by weight, all of them loaded before; returns the task's generation.

        Raises:
            UnknownTask, UnknownVersion, StaleGeneration, InvalidSplit: nothing was moved, as with all errors here.
            StoreError, ArtifactError, AdmissionError: a version cannot be served here.
        """
        state, expected = self._look(task, condition)
        infos = [_version(state, number) for number in split]
        try:
            for info in infos:
                self._registry.load(task, info)
            generation = self._store.move_alias(task, alias, split, expected_generation=expected)
            self._registry.sync()
        finally:
            self._registry.release(info.sha256 for info in infos)
        logger.info("alias %s of task %s points at %s", alias, task, dict(split))
        return generation

    def roll_back(self, task: str, alias: str = ALIAS, condition: Condition = ANYWAY) -> tuple[Split, int]:
        """Point an alias at its earlier target again. A second call undoes the first.

        Returns:
            Its target now, and the task's generation.

        Raises:
            UnknownAlias: the task has no such alias.
            NothingToRollBack: it never pointed anywhere else, or to what is deleted.
            ChangedMeanwhile: somebody was faster, and there is no condition. And as `move_alias`.
        """
        state, _ = self._look(task, condition)
        if alias not in state.aliases:
            raise UnknownAlias("the task has no such alias")
        target = target_before(self._store, task, alias, generation=self._store.snapshot().generation)
        if target is None:
            raise NothingToRollBack("the alias never pointed anywhere else")
        if not target.keys() <= state.versions.keys():
            raise NothingToRollBack("a version that the alias pointed at before is deleted")
        as_seen = Condition(frozenset({state.generation}))
        try:
            return target, self.move_alias(task, alias, target, as_seen)
        except StaleGeneration:
            if condition.given:
                raise
            raise ChangedMeanwhile("somebody changed the task at the same time") from None

    def delete_alias(self, task: str, alias: str, condition: Condition = ANYWAY) -> int:
        """Delete an alias; without `live` a task answers no more. Returns the task's generation.

        Raises:
            ConfirmationRequired: the alias is `live`, and there is no condition.
            UnknownTask, UnknownAlias, StaleGeneration, StoreError: nothing was deleted.
        """
        state, expected = self._look(task, condition)
        if alias == ALIAS and ALIAS in state.aliases and not condition.given:
            raise ConfirmationRequired(
                f"without the alias {ALIAS} this task answers no predictions until the alias is set again; "
                f"to confirm, send If-Match: {tag(state.generation)}, or If-Match: *"
            )
        generation = self._store.delete_alias(task, alias, expected_generation=expected)
        self._registry.sync()
        logger.info("deleted alias %s of task %s", alias, task)
        return generation

    def delete_version(self, task: str, version: int, condition: Condition = ANYWAY) -> int:
        """Delete a version that no alias points at; returns the task's generation.

        Raises:
            UnknownTask, UnknownVersion, VersionInUse, StaleGeneration, StoreError: nothing was deleted.
        """
        _, expected = self._look(task, condition)
        generation = self._store.delete_version(task, version, expected_generation=expected)
        self._registry.sync()
        logger.info("deleted version %d of task %s", version, task)
        return generation

    def delete_task(self, task: str, condition: Condition = ANYWAY) -> None:
        """Delete a task with all its versions and aliases.

        Raises:
            UnknownTask, StaleGeneration, StoreError: nothing was deleted.
        """
        _, expected = self._look(task, condition)
        self._store.delete_task(task, expected_generation=expected)
        self._registry.sync()
        logger.info("deleted task %s", task)

    def describe(self, task: str, text: str, condition: Condition = ANYWAY) -> int:
        """Give a task a description of its own, none if empty; returns the task's generation.

        Raises:
            UnknownTask, InvalidDescription, StaleGeneration, StoreError: nothing was changed.
        """
        _, expected = self._look(task, condition)
        generation = self._store.describe(task, text, expected_generation=expected)
        self._registry.sync()
        logger.info("described task %s", task)
        return generation

    def _look(self, task: str, condition: Condition) -> tuple[TaskState, int | None]:
        """A task as it is now, and the generation that the store must find when it is changed."""
        state = self._store.snapshot()
        if task not in state.tasks:
            raise UnknownTask("there is no such task")
        return state.tasks[task], condition.expected(task, state.task_generation(task))


def _version(state: TaskState, number: int) -> VersionInfo:
    if number not in state.versions:
        raise UnknownVersion("the task has no such version")
    return state.versions[number]


def target_before(store: Store, task: str, alias: str, *, generation: int) -> PastSplit:
    """The target of an alias before its last move; None if it did not exist.

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


def targets(changes: Iterable[Change], task: str, alias: str) -> list[PastSplit]:
    """The targets of an alias after each of its changes, oldest first."""
    return [target for change in changes for target in _targets(change.event, task, alias)]


def _targets(event: Event, task: str, alias: str) -> list[PastSplit]:
    match event:
        case VersionAdded(task=name, alias=moved, version=version) if (name, moved) == (task, alias):
            return [splits.whole(version)]
        case Seeded(added=added):
            return [target for one in added for target in _targets(one, task, alias)]
        case AliasMoved(task=name, alias=moved, split=split) if (name, moved) == (task, alias):
            return [split]
        case AliasDeleted(task=name, alias=moved) if (name, moved) == (task, alias):
            return [None]
        case TaskDeleted(task=name) if name == task:
            return [None]
    return []
