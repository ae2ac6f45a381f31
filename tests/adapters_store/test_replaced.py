"""A store that is deleted, replaced or put back under a running server: noticed before anything is acknowledged."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import open_store
from adapters_store.backend import LOG
from adapters_store.errors import StoreReplaced
from adapters_store.recovery import entry_name
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store
from tests.adapters_store.backends import Interrupted, Place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def running(path: Path) -> Iterator[Store]:
    """A server's store with three versions, whose first was backed up by copying the file."""
    with closing(open_store(str(path))) as store:
        store.publish("cat", b"one")
        shutil.copy(path, path.with_name("backup.db"))
        store.publish("cat", b"two")
        store.publish("cat", b"three")
        yield store


def refuses(store: Store) -> None:
    """The store acknowledges nothing and does not pretend to be up to date."""
    with pytest.raises(StoreReplaced):
        store.publish("cat", b"four")
    with pytest.raises(StoreReplaced):
        store.snapshot()


def over_the_file(backup: Path, path: Path) -> None:
    shutil.copyfile(backup, path)  # the same inode, as `cp` does it


def by_renaming(backup: Path, path: Path) -> None:
    backup.rename(path)


def through_sqlite(backup: Path, path: Path) -> None:
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


@pytest.mark.parametrize("put_back", [over_the_file, by_renaming, through_sqlite])
def test_a_backup_put_in_place_under_a_running_server_is_noticed_and_read_anew(
    running: Store, path: Path, put_back: Callable[[Path, Path], None]
) -> None:
    put_back(path.with_name("backup.db"), path)
    refuses(running)
    running.reload()
    assert running.snapshot().generation == 1
    assert running.publish("cat", b"four").generation == 2
    running.close()
    with closing(open_store(str(path))) as restarted:
        assert [change.generation for change in restarted.changes(0)] == [1, 2]
        assert restarted.publish("cat", b"five").generation == 3


def test_a_deleted_file_is_noticed_and_not_created_anew(running: Store, path: Path) -> None:
    path.unlink()
    refuses(running)
    with pytest.raises(StoreReplaced, match="gone"):
        running.reload()
    assert not path.exists()
    assert running.read(running._log.seen.tasks["cat"].versions[1].sha256) == b"one"  # what is open is still read


@pytest.mark.parametrize("written", [False, True])
def test_a_file_deleted_during_a_write_leaves_it_unacknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """The file is deleted before the statement, or between the statement and the acknowledgement."""
    with closing(SqliteBackend(path)) as backend:
        verify, calls = backend.verify, iter([False, True])

        def and_delete() -> None:
            if written and next(calls):
                path.unlink()
            verify()
            if not written:
                path.unlink()

        monkeypatch.setattr(backend, "verify", and_delete)
        with pytest.raises(StoreReplaced):
            backend.create("blobs/a", b"one")


DELETED = """
import os, sys
from adapters_store import open_store
from adapters_store.errors import StoreReplaced

store = open_store(sys.argv[1])
print(store.publish("cat", b"one").generation, flush=True)
sys.stdin.readline()
try:
    store.publish("cat", b"two")
except StoreReplaced as error:
    print(error.code)
"""


def test_a_process_notices_what_another_did_to_its_store(path: Path) -> None:
    command = [sys.executable, "-c", DELETED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        path.unlink()
        assert process.communicate("\n", timeout=60)[0] == "store_replaced\n"


def test_a_folder_that_is_moved_away_is_noticed(tmp_path: Path) -> None:
    with closing(open_store(f"file://{tmp_path}/store")) as store:
        store.publish("cat", b"one")
        (tmp_path / "store" / LOG).rename(tmp_path / "log")
        refuses(store)
        with pytest.raises(StoreReplaced):
            store.reload()
        (tmp_path / "store" / LOG).mkdir()
        refuses(store)
        store.reload()
        assert store.snapshot().generation == 0


def test_a_log_that_went_back_is_noticed_on_every_backend(filled: Store, place: Place) -> None:
    with closing(place.backend()) as backend:
        backend.delete(entry_name(2))
    refuses(filled)
    filled.reload()
    assert filled.snapshot().generation == 1


def test_a_log_that_went_back_and_went_on_is_noticed_on_every_backend(filled: Store, place: Place) -> None:
    with closing(place.backend()) as backend:
        backend.delete(entry_name(2))
    with closing(place.open()) as other:
        other.publish("dog", b"other")
        refuses(filled)
        filled.reload()
        assert filled.snapshot() == other.snapshot()


def test_an_entry_behind_a_gap_is_taken_back(place: Place) -> None:
    """The log goes back after the writer looked and before its entry is written."""
    with closing(place.open()) as store, closing(place.backend()) as backend:
        store.publish("cat", b"one")

        def go_back() -> None:
            backend.delete(entry_name(1))

        with closing(Store(Interrupted(place.backend(), "log/", go_back))) as slow, pytest.raises(StoreReplaced):
            slow.publish("cat", b"two")
        assert list(backend.list(LOG)) == []


def test_an_entry_that_went_with_the_rest_is_not_acknowledged(place: Place) -> None:
    """The log goes back after the entry is written and before it is acknowledged."""

    class GoingBack(Interrupted):
        """A real backend; once the second entry is written, the log is empty."""

        def create(self, name: str, data: bytes) -> bool:
            created = super().create(name, data)
            if name == entry_name(2):
                self.delete(entry_name(1))
                self.delete(entry_name(2))
            return created

    with closing(Store(GoingBack(place.backend(), "none", lambda: None))) as store:
        store.publish("cat", b"one")
        with pytest.raises(StoreReplaced):
            store.publish("cat", b"two")


def test_an_entry_behind_a_gap_is_found_when_the_store_is_opened(filled: Store, place: Place) -> None:
    filled.publish("cat", b"three")
    with closing(place.backend()) as backend:
        backend.delete(entry_name(2))
    with closing(place.open()) as again:
        assert set(again.snapshot().tasks["cat"].versions) == {1, 3}
        assert [fault.where for fault in again.faults] == [entry_name(2)]


def test_a_snapshot_of_a_later_state_is_not_believed(place: Place) -> None:
    with closing(Store(place.backend(), snapshot_every=2)) as store, closing(place.backend()) as backend:
        store.publish("cat", b"one")
        store.publish("cat", b"two")
        backend.delete(entry_name(2))
        with closing(place.open()) as again:
            assert again.snapshot().generation == 1
