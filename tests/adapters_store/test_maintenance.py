"""Backups, copies and repairs of real stores, also while another process publishes."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import digest, maintenance, open_store
from adapters_store.backend import FOLDERS, LOG, SNAPSHOTS
from adapters_store.errors import NotEmpty, StoreDamaged, StoreReplaced, StoreUnavailable, UnknownBlob
from adapters_store.events import EntryLost
from adapters_store.opening import open_backend
from adapters_store.recovery import entry_name
from adapters_store.store import Store

KINDS = {"sqlite": "sqlite:///{}/store.db", "folder": "file://{}/store"}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with three entries on each kind of local backend."""
    url: str = request.param.format(tmp_path)
    with closing(open_store(url)) as store:
        store.publish("cat", b"one")
        store.publish("cat", b"two")
        store.publish("dog", b"one")
    return url


def contents(url: str) -> dict[str, bytes | None]:
    """Every log entry and blob, byte for byte."""
    with closing(open_backend(url, create=False)) as backend:
        names = [item.name for folder in FOLDERS if folder != SNAPSHOTS for item in backend.list(folder)]
        return {name: backend.get(name) for name in names}


def spoil(url: str, name: str, data: bytes = b"rotten") -> None:
    with closing(open_backend(url)) as backend:
        backend.replace(name, data)


def test_a_sound_store_is_sound_and_a_repair_changes_nothing(url: str) -> None:
    before = contents(url)
    report = maintenance.check(url)
    assert (report.generation, report.tasks, report.versions, report.unnamed) == (3, 2, 3, 0)
    assert report.sound
    assert maintenance.repair(url).sound
    assert contents(url) == before


def test_a_check_names_every_part_that_cannot_be_read(url: str) -> None:
    with closing(open_store(url)) as store:
        blob = store.snapshot().tasks["cat"].versions[2].blob
        store.publish("owl", b"three")
        store.delete_task("owl")
    spoil(url, blob)
    spoil(url, entry_name(3))
    spoil(url, f"{SNAPSHOTS}/{3:012d}.json")
    report = maintenance.check(url)
    assert {fault.where for fault in report.log} == {entry_name(3), f"{SNAPSHOTS}/{3:012d}.json"}
    assert [fault.where for fault in report.blobs] == ["cat version 2"]
    assert not report.sound
    assert report.unnamed == 1
    maintenance.repair(url)
    assert (maintenance.check(url).log, maintenance.check(url).blobs) == ((), report.blobs)


def test_a_repaired_store_takes_changes_and_keeps_its_numbers(url: str) -> None:
    spoil(url, entry_name(2))
    assert maintenance.repair(url).log != ()
    assert maintenance.check(url).sound
    with closing(open_store(url)) as store:
        assert isinstance(store.changes(1)[0].event, EntryLost)
        assert {task: set(its.versions) for task, its in store.snapshot().tasks.items()} == {"cat": {1}, "dog": {1}}
        store.publish("cat", b"three")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_backup_restores_to_the_byte(url: str, kind: str, tmp_path: Path) -> None:
    before, file, target = contents(url), tmp_path / "backup", kind.format(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert maintenance.backup(url, file) == maintenance.restore(file, target)
    assert contents(target) == before
    assert {path.name for path in tmp_path.iterdir()} <= {
        "backup",
        "elsewhere",
        "store",
        "store.db",
        "store.db-reserve",
    }


def test_a_backup_restored_under_a_running_server_is_noticed_and_the_old_store_is_kept(
    url: str, tmp_path: Path
) -> None:
    maintenance.backup(url, tmp_path / "backup")
    saved = contents(url)
    with closing(open_store(url)) as running:
        running.publish("owl", b"three")
        maintenance.restore(tmp_path / "backup", url)
        with pytest.raises(StoreReplaced):
            running.publish("owl", b"four")
        running.reload()
        assert set(running.snapshot().tasks) == {"cat", "dog"}
        assert contents(url) == saved
        assert running.publish("fox", b"four").generation == 4
    (kept,) = tmp_path.glob("store*replaced-*")
    with closing(open_store(str(kept) if kept.is_file() else f"file://{kept}")) as old:
        assert set(old.snapshot().tasks) == {"cat", "dog", "owl"}


def test_a_backup_is_restored_over_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_store(str(path))) as store:
        for number in range(9):
            store.publish("cat", bytes([number]) * 30_000)
    maintenance.backup(str(path), tmp_path / "backup")
    os.truncate(path, 40_960)
    path.with_name("store.db-journal").write_bytes(b"left by a killed writer")
    maintenance.restore(tmp_path / "backup", str(path))
    assert maintenance.check(str(path)).sound
    assert list(tmp_path.glob("store.db.damaged-*")) != []


PUBLISHER = """
import sys
from adapters_store import open_store

store = open_store(sys.argv[1])
for number in range(100_000):
    store.publish("busy", str(number).encode() * 1000)
    if number % 3 == 2:
        store.delete_version("busy", number - 1)
        store.sweep(older_than=-60)
    print(number, flush=True)
"""


def test_a_backup_made_while_another_process_publishes_is_whole(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUBLISHER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for number in range(4):
            report = maintenance.backup(url, tmp_path / f"backup{number}")
            assert report.sound
            assert report.generation == len(
                [name for name in contents(str(tmp_path / f"backup{number}")) if LOG in name]
            )
            process.stdout.readline()
        process.kill()
    later = contents(url)
    backup = contents(str(tmp_path / "backup3"))
    assert all(later[name] == data for name, data in backup.items() if name.startswith(LOG))


def test_what_is_deleted_and_swept_during_a_copy_is_copied_as_of_after_it(url: str) -> None:
    with closing(open_backend(url)) as old, closing(open_backend("memory://")) as new:
        happenings: list[Callable[[Store], object]] = [
            lambda store: store.delete_task("cat"),
            lambda store: store.sweep(older_than=-60),
        ]
        get = old.get

        def get_late(name: str) -> bytes | None:
            if name.startswith("blobs/") and happenings:
                with closing(open_store(url)) as store:
                    while happenings:
                        happenings.pop(0)(store)
            return get(name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(old, "get", get_late)
            report = maintenance._copy(old, new)
        assert report.sound
        assert (report.tasks, report.generation) == (1, 5)


def test_a_rotten_blob_is_left_out_of_a_copy_and_named(url: str, tmp_path: Path) -> None:
    with closing(open_store(url)) as store:
        version = store.snapshot().tasks["cat"].versions[2]
    spoil(url, version.blob)
    report = maintenance.backup(url, tmp_path / "backup")
    assert [fault.where for fault in report.blobs] == ["cat version 2"]
    with closing(open_store(str(tmp_path / "backup"))) as store:
        with pytest.raises(UnknownBlob):
            store.read(version.sha256)
        store.publish("cat", b"two")
        assert store.read(digest(b"two")) == b"two"


def test_a_damaged_store_is_neither_copied_nor_restored(url: str, tmp_path: Path) -> None:
    maintenance.backup(url, tmp_path / "backup")
    before = contents(url)
    spoil(str(tmp_path / "backup"), entry_name(2))
    with pytest.raises(StoreDamaged):
        maintenance.restore(tmp_path / "backup", url)
    assert contents(url) == before
    spoil(url, entry_name(2))
    with pytest.raises(StoreDamaged):
        maintenance.backup(url, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_nothing_is_written_over(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"my thesis, only copy")
    with pytest.raises(NotEmpty):
        maintenance.backup(url, tmp_path / "file")
    with pytest.raises(NotEmpty):
        maintenance.copy(url, str(tmp_path / "file"))
    with closing(open_backend("memory://")) as full:
        full.create(entry_name(1), b"something")
        with closing(open_backend(url)) as old, pytest.raises(NotEmpty):
            maintenance._copy(old, full)


def test_a_copy_goes_anywhere(url: str, tmp_path: Path) -> None:
    for target in (str(tmp_path / "copy.db"), f"file://{tmp_path}/copy", "memory://"):
        assert maintenance.copy(url, target).sound
    assert contents(str(tmp_path / "copy.db")) == contents(f"file://{tmp_path}/copy") == contents(url)
    maintenance.backup(url, tmp_path / "backup")
    assert maintenance.restore(tmp_path / "backup", "memory://").generation == 3


@pytest.mark.parametrize("url", ["none.db", "file:///nowhere/store"])
def test_a_store_that_is_not_there_is_not_created(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for action in (maintenance.check, maintenance.repair, lambda url: maintenance.backup(url, tmp_path / "backup")):
        with pytest.raises(StoreUnavailable, match="there is no store"):
            action(url)
    with pytest.raises(StoreUnavailable, match="there is no backup"):
        maintenance.restore(tmp_path / "backup", str(tmp_path / "new.db"))
    assert list(tmp_path.iterdir()) == []


def test_pages_that_sqlite_alone_uses_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_store(str(path))) as store:
        for number in range(9):
            store.publish("cat", bytes([number]) * 30_000)
    with path.open("r+b") as file:
        file.seek(4096)  # the map of pages, which only a vacuum reads
        file.write(b"\xff" * 4096)
    assert maintenance.check(str(path)).log[0].where == "the store's file"
    maintenance.repair(str(path))
    assert maintenance.check(str(path)).sound
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
