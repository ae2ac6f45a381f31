"""Conformance: aliases, deletions, the log and its snapshots, the same on every home."""

from contextlib import closing

import pytest

from adapters_store.bucket import Listed
from adapters_store.events import AliasDeleted, AliasMoved, TaskDeleted, VersionAdded, VersionDeleted
from adapters_store.journal import ENTRIES, SNAPSHOTS
from adapters_store.log_store import LogStore
from adapters_store.store_errors import (
    CorruptLog,
    InvalidName,
    InvalidSplit,
    StaleGeneration,
    UnknownAlias,
    UnknownTask,
    UnknownVersion,
    VersionInUse,
)
from tests.adapters_store.homes import Home


@pytest.fixture
def filled(store: LogStore) -> LogStore:
    """A store with versions 1 and 2 of one task, 2 being live."""
    store.publish("cat", b"one")
    store.publish("cat", b"two")
    return store


def test_an_alias_splits_traffic_by_weight(filled: LogStore) -> None:
    assert filled.move_alias("cat", "live", {1: 95, 2: 5}) == 3
    assert filled.snapshot().tasks["cat"].aliases == {"live": {1: 95, 2: 5}}


def test_moving_an_alias_to_where_it_is_changes_nothing(filled: LogStore) -> None:
    assert filled.move_alias("cat", "live", {2: 100}) == 2
    assert filled.snapshot().generation == 2


def test_an_alias_points_at_versions_that_exist(filled: LogStore) -> None:
    with pytest.raises(UnknownVersion):
        filled.move_alias("cat", "live", {1: 1, 3: 1})
    with pytest.raises(UnknownTask):
        filled.move_alias("dog", "live", {1: 1})


@pytest.mark.parametrize("split", [{}, {1: 0}, {1: -1}, {1: 1.5}, {1: True}, {1: 1_000_001}])
def test_a_split_needs_versions_and_sensible_weights(filled: LogStore, split: dict[int, int]) -> None:
    with pytest.raises(InvalidSplit):
        filled.move_alias("cat", "live", split)


@pytest.mark.parametrize(("task", "alias"), [("Cat", "live"), ("cat", "7")])
def test_moving_needs_proper_names(filled: LogStore, task: str, alias: str) -> None:
    with pytest.raises(InvalidName):
        filled.move_alias(task, alias, {1: 1})


def test_a_deleted_alias_is_gone_and_the_versions_stay(filled: LogStore) -> None:
    assert filled.delete_alias("cat", "live") == 3
    assert filled.snapshot().tasks["cat"].aliases == {}
    assert set(filled.snapshot().tasks["cat"].versions) == {1, 2}
    with pytest.raises(UnknownAlias):
        filled.delete_alias("cat", "live")


def test_a_deleted_version_is_gone(filled: LogStore) -> None:
    assert filled.delete_version("cat", 1) == 3
    assert set(filled.snapshot().tasks["cat"].versions) == {2}
    with pytest.raises(UnknownVersion):
        filled.delete_version("cat", 1)


def test_a_version_that_an_alias_names_is_not_deleted(filled: LogStore) -> None:
    filled.move_alias("cat", "canary", {1: 1, 2: 9})
    with pytest.raises(VersionInUse, match="canary"):
        filled.delete_version("cat", 1)


def test_a_deleted_task_is_gone_with_all_it_had(filled: LogStore) -> None:
    assert filled.delete_task("cat") == 3
    assert filled.snapshot().tasks == {}
    with pytest.raises(UnknownTask):
        filled.delete_task("cat")
    with pytest.raises(UnknownTask):
        filled.delete_alias("cat", "live")


def test_version_numbers_go_on_after_versions_and_tasks_were_deleted(filled: LogStore) -> None:
    filled.delete_alias("cat", "live")
    filled.delete_version("cat", 2)
    assert filled.publish("cat", b"two").version.version == 3
    filled.delete_task("cat")
    assert filled.publish("cat", b"two", expected_generation=0).version.version == 4
    assert filled.snapshot().retired == {}


def test_deleting_needs_proper_names(filled: LogStore) -> None:
    for delete in (filled.delete_task, lambda task: filled.delete_version(task, 1)):
        with pytest.raises(InvalidName):
            delete("../cat")


def test_a_stale_writer_neither_moves_nor_deletes(filled: LogStore) -> None:
    with pytest.raises(StaleGeneration):
        filled.move_alias("cat", "live", {1: 1}, expected_generation=1)
    with pytest.raises(StaleGeneration):
        filled.delete_alias("cat", "live", expected_generation=1)
    with pytest.raises(StaleGeneration):
        filled.delete_version("cat", 1, expected_generation=1)
    with pytest.raises(StaleGeneration):
        filled.delete_task("cat", expected_generation=1)
    assert filled.snapshot().generation == 2


def test_each_change_lets_the_writer_who_made_it_go_on(filled: LogStore) -> None:
    generation = filled.move_alias("cat", "live", {1: 1}, expected_generation=2)
    generation = filled.delete_version("cat", 2, expected_generation=generation)
    generation = filled.delete_alias("cat", "live", expected_generation=generation)
    assert filled.delete_task("cat", expected_generation=generation) == 6


def test_changes_are_told_in_order(filled: LogStore) -> None:
    filled.move_alias("cat", "live", {1: 1})
    filled.delete_version("cat", 2)
    filled.delete_alias("cat", "live")
    filled.delete_task("cat")
    events = [change.event for change in filled.changes(1)]
    assert isinstance(events[0], VersionAdded)
    assert events[1:] == [
        AliasMoved("cat", "live", {1: 1}),
        VersionDeleted("cat", 2),
        AliasDeleted("cat", "live"),
        TaskDeleted("cat"),
    ]
    assert [change.generation for change in filled.changes(-5)] == [1, 2, 3, 4, 5, 6]
    assert filled.changes(6) == filled.changes(99) == []


def test_a_state_once_taken_never_changes(filled: LogStore) -> None:
    before = filled.snapshot()
    filled.publish("cat", b"three")
    assert (before.generation, set(before.tasks["cat"].versions)) == (2, {1, 2})


def test_a_store_opened_again_holds_the_same(filled: LogStore, home: Home) -> None:
    filled.delete_task("cat")
    filled.publish("dog", b"one")
    with closing(home.open()) as again:
        assert again.snapshot() == filled.snapshot()


def test_snapshots_shorten_the_way_to_the_same_state(home: Home) -> None:
    with closing(LogStore(home.bucket(), snapshot_every=2)) as store:
        for number in range(7):
            store.publish("cat", str(number).encode())
        store.delete_task("cat")
        store.publish("dog", b"one")
    with closing(home.bucket()) as bucket:
        for generation in range(1, 9):  # what the newest snapshot stands for
            bucket.delete(f"{ENTRIES}/{generation:012d}.json")
    with closing(home.open()) as again:
        assert again.snapshot() == store._journal.seen


def test_a_damaged_snapshot_is_passed_over(home: Home) -> None:
    with closing(LogStore(home.bucket(), snapshot_every=2)) as store, closing(home.bucket()) as bucket:
        for number in range(4):
            store.publish("cat", str(number).encode())
        newest = max(item.name for item in bucket.list(SNAPSHOTS))
        bucket.delete(newest)
        bucket.create(newest, b'{"generation": 4}')
        with closing(home.open()) as again:
            assert again.snapshot() == store.snapshot()


def test_a_snapshot_that_vanishes_while_it_is_looked_for_is_passed_over(home: Home) -> None:
    bucket = home.bucket()
    with closing(LogStore(bucket, snapshot_every=1)) as store:
        store.publish("cat", b"one")
        bucket.delete(f"{SNAPSHOTS}/{1:012d}.json")
        listed = [Listed(f"{SNAPSHOTS}/{1:012d}.json", 0.0)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bucket, "list", lambda _: listed)
            assert LogStore(bucket).snapshot() == store.snapshot()


@pytest.mark.parametrize("entry", [b"", b"{}", b"\xff", b"[]", b'{"generation":NaN}'])
def test_a_damaged_log_entry_is_never_passed_over(filled: LogStore, home: Home, entry: bytes) -> None:
    with closing(home.bucket()) as bucket:
        bucket.create(f"{ENTRIES}/{3:012d}.json", entry)
    with pytest.raises(CorruptLog):
        filled.snapshot()
    with pytest.raises(CorruptLog):
        filled.publish("cat", b"three")


def test_an_entry_under_another_number_is_corrupt(filled: LogStore, home: Home) -> None:
    with closing(home.bucket()) as bucket:
        bucket.create(f"{ENTRIES}/{3:012d}.json", bucket.get(f"{ENTRIES}/{2:012d}.json") or b"")
    with pytest.raises(CorruptLog, match="says it is entry 2"):
        filled.changes(0)
