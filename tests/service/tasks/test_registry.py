"""The registry follows its store: live versions answer, damaged ones are listed, failed changes leave no trace."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import Store, open_store
from adapters_store.errors import CorruptBlob, UnknownAlias
from service.engine import Engine
from service.errors import TaskUnavailable, UnknownTask
from service.tasks import table
from service.tasks.loads import Loads
from service.tasks.registry import Registry
from tests.service.adapters import bundled_backbone, make
from tests.service.loading import publish, serve
from tests.service.misfits import damage, other_backbone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(open_store(str(path))) as store:
        yield store


@pytest.fixture
def engine() -> Engine:
    return Engine(bundled_backbone())


@pytest.fixture
def registry(store: Store, engine: Engine, loads: Loads) -> Registry:
    registry = Registry(store, engine, loads)
    registry.sync()
    return registry


ONE, TWO = make(20), make(21, classes=6)


@pytest.fixture
def loads(store: Store, engine: Engine) -> Iterator[Loads]:
    loads = Loads(store, engine)
    yield loads
    loads.close()


def test_an_empty_store_has_no_task(registry: Registry) -> None:
    with pytest.raises(UnknownTask):
        registry.resolve("cats")


def test_a_new_version_takes_over_and_the_old_is_let_go(
    registry: Registry, store: Store, engine: Engine, loads: Loads
) -> None:
    publish(registry, store, "cats", ONE)
    before = serve(registry, loads, "cats")
    publish(registry, store, "cats", TWO)
    assert registry.resolve("cats").info.version == 2
    assert (engine.evict(ONE.sha256), len(before.sites)) == (0, 2)  # a request that holds it goes on


def test_what_another_process_does_is_followed(registry: Registry, path: Path, engine: Engine) -> None:
    with closing(open_store(str(path))) as other:
        other.publish("cats", ONE.data)
        registry.sync()
        assert registry.resolve("cats").info.version == 1
        other.publish("cats", TWO.data)
        other.delete_task("cats")
        other.publish("dogs", TWO.data)
        registry.sync()
    assert set(registry.table) == {"dogs"}
    assert engine.usage().tasks == 0  # nobody has asked yet


def test_a_look_at_an_unchanged_store_loads_nothing(registry: Registry, store: Store) -> None:
    publish(registry, store, "cats", ONE)
    table = registry.table
    registry.sync()
    assert registry.table is table


def test_a_change_of_one_task_reloads_no_other(registry: Registry, store: Store) -> None:
    publish(registry, store, "cats", ONE)
    entry = registry.table["cats"]
    publish(registry, store, "dogs", TWO)
    assert registry.table["cats"] is entry


def test_a_split_alias_is_drawn_by_weight(registry: Registry, store: Store) -> None:
    publish(registry, store, "cats", ONE, TWO)
    store.move_alias("cats", "live", {1: 3, 2: 1})
    registry.sync()
    drawn = [registry.resolve("cats").info.version for _ in range(400)]
    assert 220 < drawn.count(1) < 380


def test_every_alias_answers_by_its_name(registry: Registry, store: Store) -> None:
    publish(registry, store, "cats", ONE, TWO)
    store.move_alias("cats", "old", {1: 1})
    registry.sync()
    assert [registry.resolve("cats", alias).info.version for alias in ("old", "live")] == [1, 2]
    with pytest.raises(UnknownAlias):
        registry.resolve("cats", "new")


def test_an_alias_that_cannot_be_served_harms_no_other(registry: Registry, store: Store, loads: Loads) -> None:
    publish(registry, store, "cats", ONE)
    store.publish("cats", other_backbone(TWO), alias="next")
    registry.sync()
    assert registry.resolve("cats").info.version == 1
    with pytest.raises(TaskUnavailable, match="another frozen network"):
        serve(registry, loads, "cats", "next")


def test_a_version_without_an_alias_does_not_answer(registry: Registry, store: Store) -> None:
    store.publish("cats", ONE.data, alias=None)
    registry.sync()
    with pytest.raises(TaskUnavailable, match="no version is live"):
        registry.resolve("cats")


def test_a_damaged_blob_stops_its_task_alone_and_says_why(
    store: Store, path: Path, registry: Registry, loads: Loads
) -> None:
    store.publish("cats", ONE.data)
    store.publish("dogs", TWO.data)
    damage(path, ONE)
    registry.sync()
    with pytest.raises(TaskUnavailable, match="no longer give that hash"):
        serve(registry, loads, "cats")
    assert registry.table["cats"].reason is not None
    assert serve(registry, loads, "dogs").sha256 == TWO.sha256


def test_a_stored_adapter_for_another_backbone_stops_its_task_alone(
    store: Store, registry: Registry, loads: Loads
) -> None:
    store.publish("cats", other_backbone(ONE))
    registry.sync()
    with pytest.raises(TaskUnavailable):
        serve(registry, loads, "cats")
    assert registry.table["cats"].reason == "The task adapter was trained on another frozen network."


def test_a_version_that_could_not_be_loaded_is_tried_again(
    store: Store, path: Path, registry: Registry, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish("cats", ONE.data)
    damage(path, ONE)
    monkeypatch.setattr(table, "RETRY_SECONDS", 0.0)
    registry.sync()
    with pytest.raises(CorruptBlob):
        loads.wait(registry.resolve("cats").content)
    assert registry.table["cats"].reason is not None  # listed as broken, and yet tried again
    with closing(sqlite3.connect(path)) as database:  # the disk is mended
        database.execute("UPDATE objects SET body = ? WHERE length(body) = ?", (ONE.data, len(ONE.data)))
        database.commit()
    assert serve(registry, loads, "cats").sha256 == ONE.sha256
    assert registry.table["cats"].reason is None


def test_what_is_gone_is_told_once(store: Store, engine: Engine, loads: Loads) -> None:
    gone: list[str] = []
    registry = Registry(store, engine, loads, on_replaced=lambda old, new: gone.extend(old.keys() - new.keys()))
    publish(registry, store, "cats", ONE)
    publish(registry, store, "dogs", ONE)
    serve(registry, loads, "cats")
    store.delete_task("cats")
    registry.sync()
    registry.sync()
    assert (gone, engine.usage().tasks) == (["cats"], 1)


def test_a_version_without_an_alias_is_let_go_when_released(
    registry: Registry, store: Store, engine: Engine, loads: Loads
) -> None:
    publish(registry, store, "cats", ONE)
    serve(registry, loads, "cats")
    registry.load("cats", store.publish("cats", TWO.data, alias=None).version)
    assert engine.usage().tasks == 2
    registry.release([TWO.sha256, ONE.sha256])
    assert engine.usage().tasks == 1
