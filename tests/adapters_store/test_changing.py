"""Conformance: aliases, deletions and their log entries, the same on every backend."""

import pytest

from adapters_store.errors import (
    InvalidDescription,
    InvalidName,
    InvalidSplit,
    StaleGeneration,
    UnknownAlias,
    UnknownTask,
    UnknownVersion,
    VersionInUse,
)
from adapters_store.events import AliasDeleted, AliasMoved, TaskDeleted, TaskDescribed, VersionAdded, VersionDeleted
from adapters_store.store import Store


def test_an_alias_splits_traffic_by_weight(filled: Store) -> None:
    assert filled.move_alias("cat", "live", {1: 95, 2: 5}) == 3
    assert filled.snapshot().tasks["cat"].aliases == {"live": {1: 95, 2: 5}}


def test_moving_an_alias_to_where_it_is_changes_nothing(filled: Store) -> None:
    assert filled.move_alias("cat", "live", {2: 100}) == 2
    assert filled.snapshot().generation == 2


def test_an_alias_points_at_versions_that_exist(filled: Store) -> None:
    with pytest.raises(UnknownVersion):
        filled.move_alias("cat", "live", {1: 1, 3: 1})
    with pytest.raises(UnknownTask):
        filled.move_alias("dog", "live", {1: 1})


@pytest.mark.parametrize("split", [{}, {1: 0}, {1: -1}, {1: 1.5}, {1: True}, {1: 1_000_001}])
def test_a_split_needs_versions_and_sensible_weights(filled: Store, split: dict[int, int]) -> None:
    with pytest.raises(InvalidSplit):
        filled.move_alias("cat", "live", split)


@pytest.mark.parametrize(("task", "alias"), [("Cat", "live"), ("cat", "7")])
def test_moving_needs_proper_names(filled: Store, task: str, alias: str) -> None:
    with pytest.raises(InvalidName):
        filled.move_alias(task, alias, {1: 1})


def test_a_deleted_alias_is_gone_and_the_versions_stay(filled: Store) -> None:
    assert filled.delete_alias("cat", "live") == 3
    assert filled.snapshot().tasks["cat"].aliases == {}
    assert set(filled.snapshot().tasks["cat"].versions) == {1, 2}
    with pytest.raises(UnknownAlias):
        filled.delete_alias("cat", "live")


def test_a_deleted_version_is_gone(filled: Store) -> None:
    assert filled.delete_version("cat", 1) == 3
    assert set(filled.snapshot().tasks["cat"].versions) == {2}
    with pytest.raises(UnknownVersion):
        filled.delete_version("cat", 1)


def test_a_version_that_an_alias_names_is_not_deleted(filled: Store) -> None:
    filled.move_alias("cat", "canary", {1: 1, 2: 9})
    with pytest.raises(VersionInUse, match="canary"):
        filled.delete_version("cat", 1)


def test_a_task_has_a_description_until_another_or_none_is_given(filled: Store) -> None:
    assert filled.describe("cat", "all about cats", expected_generation=2) == 3
    assert filled.describe("cat", "all about cats") == 3  # nothing changed
    filled.publish("cat", b"third")
    assert filled.snapshot().tasks["cat"].description == "all about cats"
    assert filled.changes(2)[0].event == TaskDescribed("cat", "all about cats")
    with pytest.raises(StaleGeneration):
        filled.describe("cat", "", expected_generation=3)
    filled.describe("cat", "")
    assert filled.snapshot().tasks["cat"].description == ""
    with pytest.raises(UnknownTask):
        filled.describe("dog", "all about dogs")


@pytest.mark.parametrize("text", ["x" * 2001, "two\nlines", "\ud800", "a\x00"])
def test_a_description_is_one_line_of_bounded_length(filled: Store, text: str) -> None:
    with pytest.raises(InvalidDescription):
        filled.describe("cat", text)
    assert filled.describe("cat", "ü" * 2000) == 3


def test_a_deleted_task_is_gone_with_all_it_had(filled: Store) -> None:
    assert filled.delete_task("cat") == 3
    assert filled.snapshot().tasks == {}
    with pytest.raises(UnknownTask):
        filled.delete_task("cat")
    with pytest.raises(UnknownTask):
        filled.delete_alias("cat", "live")


def test_version_numbers_go_on_after_versions_and_tasks_were_deleted(filled: Store) -> None:
    filled.delete_alias("cat", "live")
    filled.delete_version("cat", 2)
    assert filled.publish("cat", b"two").version.version == 3
    filled.delete_task("cat")
    assert filled.publish("cat", b"two", expected_generation=0).version.version == 4
    assert filled.snapshot().retired == {}


def test_deleting_needs_proper_names(filled: Store) -> None:
    for delete in (filled.delete_task, lambda task: filled.delete_version(task, 1)):
        with pytest.raises(InvalidName):
            delete("../cat")


def test_a_stale_writer_neither_moves_nor_deletes(filled: Store) -> None:
    with pytest.raises(StaleGeneration):
        filled.move_alias("cat", "live", {1: 1}, expected_generation=1)
    with pytest.raises(StaleGeneration):
        filled.delete_alias("cat", "live", expected_generation=1)
    with pytest.raises(StaleGeneration):
        filled.delete_version("cat", 1, expected_generation=1)
    with pytest.raises(StaleGeneration):
        filled.delete_task("cat", expected_generation=1)
    assert filled.snapshot().generation == 2


def test_each_change_lets_the_writer_who_made_it_go_on(filled: Store) -> None:
    generation = filled.move_alias("cat", "live", {1: 1}, expected_generation=2)
    generation = filled.delete_version("cat", 2, expected_generation=generation)
    generation = filled.delete_alias("cat", "live", expected_generation=generation)
    assert filled.delete_task("cat", expected_generation=generation) == 6


def test_changes_are_told_in_order(filled: Store) -> None:
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


def test_a_state_once_taken_never_changes(filled: Store) -> None:
    before = filled.snapshot()
    filled.publish("cat", b"three")
    assert (before.generation, set(before.tasks["cat"].versions)) == (2, {1, 2})
