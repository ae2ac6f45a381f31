"""Any sequence of requests, through two handles on one place, agrees with plain dictionaries that do the same."""

import tempfile
from contextlib import ExitStack, closing
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters_store import digest, maintenance
from adapters_store.backend import BLOBS, FOLDERS, SNAPSHOTS
from adapters_store.errors import CorruptBlob, NotFound, StaleGeneration, StoreDamaged, StoreReplaced, VersionInUse
from adapters_store.recovery import entry_name
from adapters_store.state import State
from adapters_store.store import Store, blob_hash
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
        self.place = PLACES[kind](Path(self.stack.enter_context(tempfile.TemporaryDirectory())))
        self.handles = [Store(self.place.backend(), snapshot_every=every) for _ in range(2)]
        for handle in self.handles:
            self.stack.callback(handle.close)
        self.tasks = {"cat": Task(), "dog": Task()}
        self.generation = 0
        self.backup: dict[str, bytes | None] = {}
        self.saved: Any = None

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

    @rule(name=TASKS, version=VERSIONS, data=CONTENTS)
    def rot_and_mend(self, name: str, version: int, data: bytes) -> None:
        """A blob rots: it is not read, no other blob is harmed, and publishing its bytes again mends it."""
        task = self.tasks[name]
        if version not in task.versions:
            return
        rotten = task.versions[version]
        with closing(self.place.backend()) as backend:
            for item in list(backend.list(BLOBS)):
                if blob_hash(item.name) == digest(rotten):
                    backend.replace(item.name, b"rotten")
        for handle in self.handles:
            with pytest.raises(CorruptBlob):
                handle.read(digest(rotten))
        for other, its in self.tasks.items():
            if rotten in its.versions.values():
                self.publish(0, other, rotten, checked=False)

    @rule()
    def back_up(self) -> None:
        with closing(self.place.backend()) as backend:
            self.backup = {item.name: backend.get(item.name) for folder in FOLDERS for item in backend.list(folder)}
        self.saved = deepcopy((self.tasks, self.generation))

    @precondition(lambda self: self.saved is not None)
    @rule(name=TASKS, data=CONTENTS)
    def go_back(self, name: str, data: bytes) -> None:
        """An older state replaces the store: it is noticed before anything is acknowledged, and read anew."""
        went_back = self.saved[1] < self.generation
        with closing(self.place.backend()) as backend:
            there = {item.name for folder in FOLDERS for item in backend.list(folder)}
            for later in there - self.backup.keys():
                backend.delete(later)
            for object_name, saved in self.backup.items():
                backend.replace(object_name, saved or b"")
        if went_back and self.saved[1]:
            for handle in self.handles:
                with pytest.raises(StoreReplaced):
                    handle.publish(name, data)
        for handle in self.handles:
            handle.reload()
        self.tasks, self.generation = deepcopy(self.saved)

    @precondition(lambda self: self.generation > 0)
    @rule(data=st.data())
    def damage_and_repair(self, data: st.DataObject) -> None:
        """An entry becomes unreadable: nothing is written until a repair, and the log grows by what it repaired."""
        number = data.draw(st.integers(1, self.generation))
        with closing(self.place.backend()) as backend:
            backend.replace(entry_name(number), b"\x00garbage")
            for item in list(backend.list(SNAPSHOTS)):
                backend.delete(item.name)
            with closing(Store(backend)) as damaged:
                assert damaged.faults
                with pytest.raises(StoreDamaged):
                    damaged.publish("cat", b"four")
        with closing(self.place.backend()) as backend:
            maintenance._repair_log(backend)
        for handle in self.handles:
            handle.reload()
        self._take_over(self.handles[0].snapshot())

    def _take_over(self, state: State) -> None:
        """After a loss, the model takes over the repaired state; the invariants check that it is consistent."""
        contents = {digest(data): data for data in (b"one", b"two", b"three")}
        self.generation = state.generation
        for name in self.tasks:
            found = state.tasks.get(name)
            self.tasks[name] = Task(last=state.last_version(name))
            if found:
                versions = {version: contents[info.sha256] for version, info in found.versions.items()}
                live = dict(found.aliases.get("live", {}))
                for data in versions.values():  # swept since a deletion that the lost entry recorded
                    self.handles[0].publish(name, data, alias=None)
                self.tasks[name] = Task(found.last_version, found.generation, versions, live, found.description)

    @invariant()
    def both_handles_agree_with_the_model(self) -> None:
        states = [handle.snapshot() for handle in self.handles]
        assert states[0] == states[1]
        assert states[0].generation == self.generation == len(self.handles[0].changes(0))
        assert not any(handle.faults for handle in self.handles)
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


StoreModel.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestStoreModel = StoreModel.TestCase
