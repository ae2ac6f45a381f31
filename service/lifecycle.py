"""What becomes of published versions: aliases move, split, return and go; versions and tasks are deleted.

Each change is made in the store, by compare-and-swap where the caller asks for it, and then taken over by the
registry, so that it is in force when the call returns. Knows no HTTP; belongs to the registry's thread.
"""

import logging

from adapters_store import Store, TaskState, VersionInfo
from adapters_store.store_errors import UnknownAlias, UnknownTask, UnknownVersion
from service.conditions import Condition
from service.errors import NothingToRollBack
from service.history import target_before
from service.registry import Registry
from service.splits import Split
from service.table import ALIAS

ANYWAY = Condition()

logger = logging.getLogger(__name__)


class Lifecycle:
    """Changes what is published, and has a registry follow at once."""

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
        """Return an alias to what it pointed at before its last move; doing it twice returns to where one was.

        Returns:
            Where it points now, and the task's generation.

        Raises:
            UnknownAlias: the task has no such alias.
            NothingToRollBack: it never pointed anywhere else, or to what is deleted.
            StaleGeneration: somebody was faster; also without a condition. And as `move_alias`.
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
        return target, self.move_alias(task, alias, target, as_seen)

    def delete_alias(self, task: str, alias: str, condition: Condition = ANYWAY) -> int:
        """Delete an alias; without `live` a task answers no more. Returns the task's generation.

        Raises:
            UnknownTask, UnknownAlias, StaleGeneration, StoreError: nothing was deleted.
        """
        _, expected = self._look(task, condition)
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
        """A task as it is now, and what to expect of it when it is changed."""
        state = self._store.snapshot()
        if task not in state.tasks:
            raise UnknownTask("there is no such task")
        return state.tasks[task], condition.expected(task, state.task_generation(task))


def _version(state: TaskState, number: int) -> VersionInfo:
    if number not in state.versions:
        raise UnknownVersion("the task has no such version")
    return state.versions[number]
