"""Changes run one after the other off the event loop, in a bounded queue; the store is followed for ever."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import Store, open_store
from adapters_store.errors import StoreUnavailable
from service.engine import Engine
from service.errors import UploadBacklog
from service.settings import Settings
from service.tasks.loads import Loads
from service.tasks.registrar import Registrar
from service.tasks.registry import Registry
from tests.service.adapters import bundled_backbone, make
from tests.service.asking import PNG, answer, predict, raw
from tests.service.live import PATIENCE, serving
from tests.service.misfits import damage, other_backbone

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        yield store


@pytest.fixture
def registrar(store: Store) -> Iterator[Registrar]:
    engine = Engine(bundled_backbone())
    registrar = Registrar(Registry(store, engine, Loads(store, engine)), backlog=2)
    yield registrar
    registrar.close()


async def test_the_line_of_changes_has_an_end_and_its_places_come_back(registrar: Registrar) -> None:
    go_on = threading.Event()
    waiting = [asyncio.ensure_future(registrar.change(lambda: go_on.wait(PATIENCE))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UploadBacklog):
        await registrar.change(lambda: None)
    go_on.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await registrar.change(lambda: 3) == 3


@pytest.mark.parametrize("error", [StoreUnavailable("gone for now"), RuntimeError("a bug of ours")])
async def test_a_store_that_cannot_be_read_is_asked_again(
    registrar: Registrar,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    looked = asyncio.Event()
    loop, looks = asyncio.get_running_loop(), []

    def broken() -> None:
        looks.append(1)
        if len(looks) == 3:
            loop.call_soon_threadsafe(looked.set)
        raise error

    monkeypatch.setattr(store, "snapshot", broken)
    following = asyncio.ensure_future(registrar.follow(0.001))
    await asyncio.wait_for(looked.wait(), PATIENCE)
    assert not following.done()
    following.cancel()
    assert "could not be followed" in caplog.text


def test_a_server_follows_what_another_process_publishes(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    with serving(Settings(store=path, follow_seconds=0.01)) as live, closing(open_store(path)) as other:
        other.publish("cats", make(1).data)
        patience = threading.Event()
        while "cats" not in live.service.registry.table:
            patience.wait(0.01)
        assert answer(predict(live, "cats", raw())).sha256 == make(1).sha256


def test_bytes_of_a_deleted_version_go_when_nothing_has_named_them_for_an_hour(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    with closing(open_store(path)) as store:
        store.publish("cats", make(1).data)
        store.publish("cats", make(2).data)
        store.delete_version("cats", 1)
    with closing(sqlite3.connect(path)) as database, database:  # two hours pass
        database.execute("UPDATE objects SET written_at = written_at - 7200 WHERE name LIKE 'blobs/%'")
        before = _blobs(database)
    with serving(Settings(store=path, sweep_seconds=0.01)) as live:
        patience = threading.Event()
        with closing(sqlite3.connect(path)) as database:
            while _blobs(database) == before:
                patience.wait(0.01)
        assert _blobs_of(path) == before - 1
        assert answer(predict(live, "cats", raw())).sha256 == make(2).sha256


def _blobs(database: sqlite3.Connection) -> int:
    (count,) = database.execute("SELECT count(*) FROM objects WHERE name LIKE 'blobs/%'").fetchone()
    return int(count)


def _blobs_of(path: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        return _blobs(database)


def test_a_damaged_task_is_listed_with_its_reason_and_the_server_stays_ready(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_store(str(path))) as store:
        store.publish("cats", make(1).data)
        store.publish("dogs", make(2).data)
    damage(path, make(1))
    with serving(Settings(store=str(path))) as live:
        cats, dogs = live.client.get("/v1/tasks").json()["tasks"]
        assert (cats["ready"], dogs["ready"]) == (False, True)
        assert "no longer give that hash" in cats["reason"]
        refused = predict(live, "cats", raw())
        assert (refused.status_code, refused.json()["code"]) == (503, "task_damaged")
        assert "retry-after" not in refused.headers
        assert live.client.get("/health/ready").status_code == 200
        answer(predict(live, "dogs", raw()))


def test_a_task_for_another_backbone_is_refused_for_good(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_store(str(path))) as store:
        store.publish("cats", other_backbone(make(1)))
    with serving(Settings(store=str(path))) as live:
        for asked in ("/v1/tasks/cats/predict", "/v1/tasks/cats/versions/1/predict"):
            refused = live.client.post(asked, content=PNG)
            assert (refused.status_code, refused.json()["code"]) == (409, "task_refused")
            assert "retry-after" not in refused.headers
        assert live.client.get("/health/ready").status_code == 200


def test_a_store_that_is_gone_refuses_uploads_and_goes_on_answering(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with serving(Settings(store=str(path), follow_seconds=60), {"cats": make(1)}) as live:
        with closing(sqlite3.connect(path)) as database:
            database.execute("ALTER TABLE objects RENAME TO lost")
        refused = live.client.put("/v1/tasks/dogs", content=make(2).data)
        assert refused.status_code == 503
        assert str(tmp_path) not in refused.text
        answer(predict(live, "cats", raw()))
