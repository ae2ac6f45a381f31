"""The registry follows its store: what is live answers, what is damaged is listed, what failed leaves no trace."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import Store, open_store
from adapters_store.errors import NotSafetensors, TruncatedFile
from adapters_store.store_errors import StoreFull
from service import registry as registry_module
from service.engine import BackboneMismatch, Engine, GoldenMismatch, PreprocessingMismatch
from service.errors import TaskUnavailable, UnknownTask
from service.registry import Registry
from tests.service.adapters import bundled_backbone, make
from tests.service.misfits import damage, other_backbone, other_preprocessing, wrong_golden


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
def registry(store: Store, engine: Engine) -> Registry:
    registry = Registry(store, engine)
    registry.sync()
    return registry


ONE, TWO = make(20), make(21, classes=6)


def test_an_empty_store_has_no_task(registry: Registry) -> None:
    with pytest.raises(UnknownTask):
        registry.resolve("cats")


def test_an_upload_is_live_when_it_returns(registry: Registry, engine: Engine) -> None:
    uploaded = registry.upload("cats", ONE.data)
    served = registry.resolve("cats")
    assert (uploaded.created, uploaded.info, served.info.sha256) == (True, served.info, ONE.sha256)
    assert engine.usage().tasks == 1


def test_a_new_version_takes_over_and_the_old_is_let_go(registry: Registry, engine: Engine) -> None:
    registry.upload("cats", ONE.data)
    before = registry.resolve("cats")
    registry.upload("cats", TWO.data)
    assert registry.resolve("cats").info.version == 2
    assert (engine.evict(ONE.sha256), len(before.resident.sites)) == (0, 2)  # a request that holds it goes on


def test_known_bytes_make_their_version_live_again(registry: Registry) -> None:
    for made in (ONE, TWO):
        registry.upload("cats", made.data)
    again = registry.upload("cats", ONE.data)
    assert (again.created, again.info.version, registry.resolve("cats").info.version) == (False, 1, 1)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (lambda: b"PK\x03\x04 a zip", NotSafetensors),
        (lambda: TWO.data[:-1], TruncatedFile),
        (lambda: other_backbone(TWO), BackboneMismatch),
        (lambda: other_preprocessing(TWO), PreprocessingMismatch),
        (lambda: wrong_golden(TWO), GoldenMismatch),
    ],
)
def test_a_refused_upload_leaves_no_trace_and_the_old_version_answering(
    registry: Registry, store: Store, engine: Engine, data: Callable[[], bytes], error: type[Exception]
) -> None:
    registry.upload("cats", ONE.data)
    state, usage = store.snapshot(), engine.usage()
    with pytest.raises(error):
        registry.upload("cats", data())
    assert (store.snapshot(), engine.usage()) == (state, usage)
    assert registry.resolve("cats").info.sha256 == ONE.sha256


def test_an_upload_that_the_store_cannot_keep_leaves_nothing_resident(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr(store, "publish", full)
    registry = Registry(store, engine)
    with pytest.raises(StoreFull):
        registry.upload("cats", ONE.data)
    assert engine.usage().tasks == 0


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
    assert engine.usage().tasks == 1


def test_a_look_at_an_unchanged_store_loads_nothing(registry: Registry) -> None:
    registry.upload("cats", ONE.data)
    table = registry.table
    registry.sync()
    assert registry.table is table


def test_a_change_of_one_task_reloads_no_other(registry: Registry) -> None:
    registry.upload("cats", ONE.data)
    entry = registry.table["cats"]
    registry.upload("dogs", TWO.data)
    assert registry.table["cats"] is entry


def test_a_split_alias_is_drawn_by_weight(registry: Registry, store: Store) -> None:
    registry.upload("cats", ONE.data)
    registry.upload("cats", TWO.data)
    store.move_alias("cats", "live", {1: 3, 2: 1})
    registry.sync()
    drawn = [registry.resolve("cats").info.version for _ in range(400)]
    assert 220 < drawn.count(1) < 380


def test_a_version_without_an_alias_does_not_answer(registry: Registry, store: Store) -> None:
    store.publish("cats", ONE.data, alias=None)
    registry.sync()
    with pytest.raises(TaskUnavailable, match="no version is live"):
        registry.resolve("cats")


def test_a_damaged_blob_stops_its_task_alone_and_says_why(store: Store, path: Path, engine: Engine) -> None:
    store.publish("cats", ONE.data)
    store.publish("dogs", TWO.data)
    damage(path, ONE)
    registry = Registry(store, engine)
    registry.sync()
    with pytest.raises(TaskUnavailable, match="no longer give that hash"):
        registry.resolve("cats")
    assert registry.resolve("dogs").info.sha256 == TWO.sha256


def test_a_stored_adapter_for_another_backbone_stops_its_task_alone(store: Store, engine: Engine) -> None:
    store.publish("cats", other_backbone(ONE))
    registry = Registry(store, engine)
    registry.sync()
    assert registry.table["cats"].reason == "The task adapter was trained on another frozen network."


def test_a_version_that_could_not_be_loaded_is_tried_again(
    store: Store, path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish("cats", ONE.data)
    damage(path, ONE)
    monkeypatch.setattr(registry_module, "_RETRY_SECONDS", 0.0)
    registry = Registry(store, engine)
    registry.sync()
    with closing(sqlite3.connect(path)) as database:  # the disk is mended
        database.execute("UPDATE objects SET body = ? WHERE length(body) = ?", (ONE.data, len(ONE.data)))
        database.commit()
    registry.sync()
    assert registry.resolve("cats").info.sha256 == ONE.sha256


def test_what_is_gone_is_told_once(store: Store, engine: Engine) -> None:
    gone: list[str] = []
    registry = Registry(store, engine, on_removed=gone.append)
    registry.upload("cats", ONE.data)
    registry.upload("dogs", ONE.data)
    registry.delete("cats")
    registry.sync()
    assert (gone, engine.usage().tasks) == (["cats"], 1)
    with pytest.raises(UnknownTask):
        registry.delete("cats")


def test_a_task_that_another_process_published_can_be_deleted_at_once(registry: Registry, path: Path) -> None:
    with closing(open_store(str(path))) as other:
        other.publish("cats", ONE.data)
    registry.delete("cats")
    assert registry.table == {}
