"""Any sequence of requests, through two handles on one place, agrees with plain dictionaries that do the same."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adapters_store import digest
from adapters_store.errors import NotFound, StaleGeneration, VersionInUse
from adapters_store.store import Store
from tests.adapters_store.backends import PLACES

HANDLES = st.integers(0, 1)
TASKS = st.sampled_from(["cat", "dog"])
CONTENTS = st.sampled_from([b"one", b"two", b"three"])
VERSIONS = st.integers(1, 4)
SPLITS = st.dictionaries(VERSIONS, st.integers(1, 100), min_size=1, max_size=2)


@dataclass
class Task:
    """The model of one task. `last` outlives a deletion; generation 0 says that the task is not there."""

    last: int = 0
    generation: int = 0
    versions: dict[int, bytes] = field(default_factory=dict)
    live: dict[int, int] = field(default_factory=dict)
    description: str = ""


class StoreModel(RuleBasedStateMachine):
    """Each rule does the same to the store and to the model."""

    @initialize(kind=st.sampled_from(sorted(PLACES)), every=st.integers(1, 4))
    def open(self, kind: str, every: int) -> None:
        self.stack = ExitStack()
        place = PLACES[kind](Path(self.stack.enter_context(tempfile.TemporaryDirectory())))
        self.handles = [Store(place.backend(), snapshot_every=every) for _ in range(2)]
        for handle in self.handles:
            self.stack.callback(handle.close)
        self.tasks = {"cat": Task(), "dog": Task()}
        self.generation = 0

    @rule(handle=HANDLES, name=TASKS, data=CONTENTS, checked=st.booleans())
    def publish(self, handle: int, name: str, data: bytes, checked: bool) -> None:
        task = self.tasks[name]
        published = self.handles[handle].publish(name, data, expected_generation=task.generation if checked else None)
        known = [version for version, found in task.versions.items() if found == data]
        task.last += not known
        version = known[0] if known else task.last
        self._changed(task, unless=task.live == {version: 100})
        task.versions[version], task.live = data, {version: 100}
        assert published[1:] == (task.generation, not known)
        assert published.version.version == version

    @rule(handle=HANDLES, name=TASKS, data=CONTENTS, off=st.sampled_from([-2, -1, 1, 2]))
    def publish_unaware(self, handle: int, name: str, data: bytes, off: int) -> None:
        with pytest.raises(StaleGeneration):
            self.handles[handle].publish(name, data, expected_generation=self.tasks[name].generation + off)

    @rule(handle=HANDLES, name=TASKS, split=SPLITS)
    def move_alias(self, handle: int, name: str, split: dict[int, int]) -> None:
        task = self.tasks[name]
        if split.keys() <= task.versions.keys():
            self._changed(task, unless=task.live == split)
            task.live = split
            assert self.handles[handle].move_alias(name, "live", split) == task.generation
        else:
            with pytest.raises(NotFound):
                self.handles[handle].move_alias(name, "live", split)

    @rule(handle=HANDLES, name=TASKS)
    def delete_alias(self, handle: int, name: str) -> None:
        task = self.tasks[name]
        if task.live:
            self._changed(task)
            task.live = {}
            assert self.handles[handle].delete_alias(name, "live") == task.generation
        else:
            with pytest.raises(NotFound):
                self.handles[handle].delete_alias(name, "live")

    @rule(handle=HANDLES, name=TASKS, version=VERSIONS)
    def delete_version(self, handle: int, name: str, version: int) -> None:
        task = self.tasks[name]
        if version in task.versions and version not in task.live:
            self._changed(task)
            del task.versions[version]
            assert self.handles[handle].delete_version(name, version) == task.generation
        else:
            with pytest.raises((NotFound, VersionInUse)):
                self.handles[handle].delete_version(name, version)

    @rule(handle=HANDLES, name=TASKS)
    def delete_task(self, handle: int, name: str) -> None:
        task = self.tasks[name]
        if task.generation:
            self._changed(task)
            assert self.handles[handle].delete_task(name) == task.generation
            self.tasks[name] = Task(last=task.last)
        else:
            with pytest.raises(NotFound):
                self.handles[handle].delete_task(name)

    @rule(handle=HANDLES, name=TASKS, text=st.sampled_from(["", "one line", "another"]))
    def describe(self, handle: int, name: str, text: str) -> None:
        task = self.tasks[name]
        if task.generation:
            self._changed(task, unless=task.description == text)
            task.description = text
            assert self.handles[handle].describe(name, text) == task.generation
        else:
            with pytest.raises(NotFound):
                self.handles[handle].describe(name, text)

    @rule(handle=HANDLES)
    def sweep(self, handle: int) -> None:
        self.generation += self.handles[handle].sweep(older_than=-60) > 0
        assert self.handles[handle].sweep(older_than=-60) == 0

    @rule(data=CONTENTS)
    def seed(self, data: bytes) -> None:
        seeded = self.generation == 0
        assert self.handles[0].seed({"cat": data}) is seeded
        if seeded:
            task = self.tasks["cat"]
            self._changed(task)
            task.last, task.versions, task.live = 1, {1: data}, {1: 100}

    @invariant()
    def both_handles_agree_with_the_model(self) -> None:
        states = [handle.snapshot() for handle in self.handles]
        assert states[0] == states[1]
        assert states[0].generation == self.generation == len(self.handles[0].changes(0))
        for name, task in self.tasks.items():
            assert (states[0].task_generation(name), states[0].last_version(name)) == (task.generation, task.last)
            found = states[0].tasks.get(name)
            hashes = {version: info.sha256 for version, info in found.versions.items()} if found else {}
            assert hashes == {version: digest(data) for version, data in task.versions.items()}
            assert (found.aliases.get("live", {}) if found else {}) == task.live
            assert (found.description if found else "") == task.description
            assert [self.handles[1].read(digest(data)) for data in task.versions.values()] == [*task.versions.values()]

    def teardown(self) -> None:
        self.stack.close()

    def _changed(self, task: Task, *, unless: bool = False) -> None:
        self.generation += not unless
        task.generation = task.generation if unless else self.generation


StoreModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestStoreModel = StoreModel.TestCase
