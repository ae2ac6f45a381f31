"""A running server whose store is deleted, replaced by a backup, damaged, or unreachable."""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import maintenance, open_store
from adapters_store.opening import open_backend
from adapters_store.recovery import entry_name
from service.settings import Settings
from tests.service.adapters import make
from tests.service.asking import answer, predict, raw
from tests.service.live import PATIENCE, Live, serving


def wait_until(condition: Callable[[], bool]) -> None:
    patience = threading.Event()
    for _ in range(int(PATIENCE * 100)):
        if condition():
            return
        patience.wait(0.01)
    raise AssertionError("nothing came of it")


def upload(live: Live, task: str, number: int) -> tuple[int, str]:
    answered = live.client.put(f"/v1/tasks/{task}", content=make(number).data)
    return answered.status_code, answered.json().get("code", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_deleted_store_takes_no_uploads_and_the_server_is_not_ready(path: Path) -> None:
    with serving(Settings(store=str(path), follow_seconds=0.01), {"cats": make(1)}) as live:
        assert upload(live, "dogs", 2)[0] == 201
        path.unlink()
        assert upload(live, "dogs", 3) == (503, "store_replaced")
        wait_until(lambda: live.client.get("/health/ready").status_code == 503)
        assert live.client.get("/health/live").status_code == 200


def test_a_backup_restored_under_a_running_server_is_served_and_written(path: Path, tmp_path: Path) -> None:
    with serving(Settings(store=str(path), follow_seconds=0.01), {"cats": make(1)}) as live:
        maintenance.backup(str(path), tmp_path / "backup")
        assert upload(live, "dogs", 2)[0] == 201
        assert upload(live, "cats", 2)[0] == 201
        wait_until(lambda: "dogs" in live.service.registry.table)
        maintenance.restore(tmp_path / "backup", str(path))
        wait_until(lambda: "dogs" not in live.service.registry.table)
        assert answer(predict(live, "cats", raw())).sha256 == make(1).sha256
        assert upload(live, "cats", 3)[0] == 201
        assert answer(predict(live, "cats", raw())).sha256 == make(3).sha256
    with closing(open_store(str(path))) as store:
        assert [change.generation for change in store.changes(0)] == [1, 2]


def test_a_damaged_log_is_served_and_not_written_until_it_is_repaired(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_store(str(path))) as store:
        store.publish("cats", make(1).data)
        store.publish("dogs", make(2).data)
    with closing(open_backend(str(path))) as backend:
        backend.replace(entry_name(2), b"\x00garbage")
    with serving(Settings(store=str(path), follow_seconds=0.01)) as live:
        assert answer(predict(live, "cats", raw())).sha256 == make(1).sha256
        assert upload(live, "owls", 3) == (503, "store_damaged")
        assert f"cannot be read, and it takes no changes: {entry_name(2)}" in caplog.text
        maintenance.repair(str(path))
        wait_until(lambda: upload(live, "owls", 3)[0] == 201)
        assert answer(predict(live, "cats", raw())).sha256 == make(1).sha256


def test_half_a_store_file_is_served_as_far_as_it_goes(path: Path) -> None:
    with closing(open_store(str(path))) as store:
        for number in range(1, 5):
            store.publish(f"task{number}", make(number).data)
    os.truncate(path, path.stat().st_size * 3 // 4 // 4096 * 4096)
    with serving(Settings(store=str(path), follow_seconds=0.01)) as live:
        assert answer(predict(live, "task1", raw())).sha256 == make(1).sha256
        assert upload(live, "owls", 5) == (503, "store_damaged")
        assert live.client.get("/health/ready").status_code == 200
