"""Aliases move, split, return and go; versions and tasks are deleted; each in force when the call returns."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters_store import Store, open_store
from adapters_store.errors import StaleGeneration, UnknownAlias, UnknownTask, UnknownVersion, VersionInUse
from service.engine import BackboneMismatch, Engine
from service.errors import ChangedMeanwhile, ConfirmationRequired, NothingToRollBack
from service.tasks.conditions import Condition
from service.tasks.lifecycle import Lifecycle
from service.tasks.loads import Loads
from service.tasks.registry import Registry
from tests.service.adapters import bundled_backbone, make
from tests.service.misfits import other_backbone

ONE, TWO = make(20), make(21, classes=6)
STALE = Condition(frozenset({99}))


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(open_store("memory://")) as store:
        store.publish("cats", ONE.data)
        store.publish("cats", TWO.data)
        yield store


@pytest.fixture
def engine() -> Engine:
    return Engine(bundled_backbone())


@pytest.fixture
def registry(store: Store, engine: Engine) -> Registry:
    registry = Registry(store, engine, Loads(store, engine))
    registry.sync()
    return registry


@pytest.fixture
def lifecycle(store: Store, registry: Registry) -> Lifecycle:
    return Lifecycle(store, registry)


def test_an_alias_moves_at_once(lifecycle: Lifecycle, registry: Registry, engine: Engine) -> None:
    assert lifecycle.move_alias("cats", "live", {1: 100}) == 3
    assert (registry.resolve("cats").info.version, engine.usage().tasks) == (1, 1)


def test_moving_an_alias_to_where_it_points_changes_nothing(lifecycle: Lifecycle) -> None:
    assert lifecycle.move_alias("cats", "live", {2: 100}) == 2


def test_an_alias_never_moves_to_what_cannot_be_served(
    lifecycle: Lifecycle, registry: Registry, store: Store, engine: Engine
) -> None:
    store.publish("cats", other_backbone(ONE), alias=None)
    with pytest.raises(BackboneMismatch):
        lifecycle.move_alias("cats", "live", {1: 1, 3: 1})
    assert (registry.resolve("cats").info.version, engine.usage().tasks) == (2, 0)


def test_what_is_not_there_cannot_be_changed(lifecycle: Lifecycle) -> None:
    with pytest.raises(UnknownVersion):
        lifecycle.move_alias("cats", "live", {9: 1})
    with pytest.raises(UnknownAlias):
        lifecycle.roll_back("cats", "next")
    with pytest.raises(UnknownAlias):
        lifecycle.delete_alias("cats", "next")
    with pytest.raises(UnknownTask):
        lifecycle.roll_back("dogs")
    with pytest.raises(UnknownTask):
        lifecycle.delete_task("dogs")


def test_a_rollback_returns_and_a_second_one_undoes_it(lifecycle: Lifecycle, registry: Registry) -> None:
    lifecycle.move_alias("cats", "live", {1: 9, 2: 1})
    lifecycle.move_alias("cats", "live", {1: 100})
    assert lifecycle.roll_back("cats") == ({1: 9, 2: 1}, 5)
    assert len(registry.table["cats"].split) == 2
    assert lifecycle.roll_back("cats") == ({1: 100}, 6)
    assert registry.resolve("cats").info.version == 1


def test_there_may_be_nothing_to_roll_back_to(lifecycle: Lifecycle, store: Store) -> None:
    store.publish("dogs", ONE.data)
    with pytest.raises(NothingToRollBack):
        lifecycle.roll_back("dogs")
    lifecycle.delete_version("cats", 1)
    with pytest.raises(NothingToRollBack, match="deleted"):
        lifecycle.roll_back("cats")


def test_a_rollback_that_was_overtaken_changes_nothing(
    lifecycle: Lifecycle, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = store.changes

    def slow(after: int) -> object:
        found = changes(after)
        store.publish("cats", b"3", alias=None)
        return found

    monkeypatch.setattr(store, "changes", slow)
    with pytest.raises(ChangedMeanwhile):
        lifecycle.roll_back("cats")
    assert store.snapshot().tasks["cats"].aliases == {"live": {2: 100}}


def test_a_version_goes_when_nothing_points_at_it(lifecycle: Lifecycle, store: Store) -> None:
    with pytest.raises(VersionInUse):
        lifecycle.delete_version("cats", 2)
    lifecycle.delete_version("cats", 1)
    assert list(store.snapshot().tasks["cats"].versions) == [2]


def test_without_its_live_alias_a_task_stays_and_does_not_answer(lifecycle: Lifecycle, registry: Registry) -> None:
    with pytest.raises(ConfirmationRequired, match=r"answers no predictions until the alias is set again.*If-Match"):
        lifecycle.delete_alias("cats", "live")
    assert registry.table["cats"].reason is None
    lifecycle.delete_alias("cats", "live", Condition(exists=True))
    assert registry.table["cats"].reason == "no version is live"


def test_a_task_that_another_process_published_can_be_deleted_at_once(
    lifecycle: Lifecycle, registry: Registry, store: Store
) -> None:
    store.publish("dogs", ONE.data)
    lifecycle.delete_task("dogs")
    assert set(registry.table) == {"cats"}


def test_no_change_is_made_on_a_condition_that_does_not_hold(lifecycle: Lifecycle, store: Store) -> None:
    calls = (
        lambda: lifecycle.move_alias("cats", "live", {1: 1}, STALE),
        lambda: lifecycle.roll_back("cats", "live", STALE),
        lambda: lifecycle.delete_alias("cats", "live", STALE),
        lambda: lifecycle.delete_version("cats", 1, STALE),
        lambda: lifecycle.delete_task("cats", STALE),
    )
    for call in calls:
        with pytest.raises(StaleGeneration):
            call()
    assert store.snapshot().generation == 2
