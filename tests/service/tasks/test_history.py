"""The target of an alias before its last move, from the log of changes."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters_store import Store, open_store
from service.tasks import lifecycle
from service.tasks.lifecycle import PastSplit, target_before


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(open_store("memory://")) as store:
        yield store


def before(store: Store, alias: str = "live") -> PastSplit:
    return target_before(store, "cats", alias, generation=store.snapshot().generation)


def test_an_alias_that_never_moved_came_from_nowhere(store: Store) -> None:
    assert before(store) is None
    store.publish("cats", b"1")
    assert before(store) is None


def test_uploads_splits_and_moves_all_count(store: Store) -> None:
    store.seed({"cats": b"1", "dogs": b"2"})
    store.publish("cats", b"2")
    assert before(store) == {1: 100}
    store.move_alias("cats", "live", {1: 9, 2: 1})
    assert before(store) == {2: 100}
    store.publish("cats", b"3")
    assert before(store) == {1: 9, 2: 1}


def test_other_aliases_other_tasks_and_versions_without_one_do_not_count(store: Store) -> None:
    for data in (b"1", b"2"):
        store.publish("cats", data)
    store.publish("dogs", b"3")
    store.publish("cats", b"4", alias="next")
    store.publish("cats", b"5", alias=None)
    store.move_alias("dogs", "live", {1: 1})
    assert (before(store), before(store, "next")) == ({1: 100}, None)


def test_a_deleted_alias_or_task_begins_anew(store: Store) -> None:
    store.publish("cats", b"1")
    store.delete_alias("cats", "live")
    store.publish("cats", b"2")
    assert before(store) is None
    store.publish("cats", b"3")
    store.delete_task("cats")
    store.publish("cats", b"4")
    assert before(store) is None


def test_the_log_is_read_as_far_back_as_it_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_FIRST_LOOK", 2)
    store.publish("cats", b"1")
    store.publish("cats", b"2")
    for number in range(40):
        store.publish("dogs", str(number).encode())
    assert before(store) == {1: 100}
