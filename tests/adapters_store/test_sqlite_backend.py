"""The particulars of the SQLite backend: owner of the file, full disks, and freed space."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import digest, sqlite_backend
from adapters_store.errors import NotAStore, StoreDamaged, StoreFull, StoreUnavailable, UnsupportedStoreVersion
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store

MEBIBYTE = bytes(1024 * 1024)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_the_file_is_durable_and_its_owners_alone(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend:
        settings = [
            backend._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
        assert settings == ["delete", 3]  # one file, and EXTRA
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_another_process_makes_a_store_meanwhile_is_taken_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteBackend(path).close()
    seen = iter([0, sqlite_backend.APPLICATION_ID])
    monkeypatch.setattr(sqlite_backend, "_owner", lambda _: next(seen))
    with closing(SqliteBackend(path)) as backend:
        assert backend.create("blobs/a", b"one")


def test_a_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.db"
    SqliteBackend(target).close()
    path.symlink_to(target)
    with pytest.raises(NotAStore):
        SqliteBackend(path)


def test_a_dangling_link_creates_nothing(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(NotAStore):
        SqliteBackend(path)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_file_with_a_second_name_is_refused(path: Path, tmp_path: Path) -> None:
    SqliteBackend(path).close()
    os.link(path, tmp_path / "second.db")
    with pytest.raises(NotAStore):
        SqliteBackend(path)


def test_a_pipe_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(NotAStore):
        SqliteBackend(path)


def test_a_folder_is_no_store(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable):
        SqliteBackend(path)


def test_a_file_of_another_format_is_refused_and_kept(path: Path) -> None:
    path.write_bytes(b"my thesis, only copy" * 100)
    with pytest.raises(NotAStore):
        SqliteBackend(path)
    assert path.read_bytes() == b"my thesis, only copy" * 100


def test_another_programs_database_is_refused_and_kept(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (owner TEXT)")
    with pytest.raises(NotAStore):
        SqliteBackend(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("accounts",)]


def test_a_full_disk_changes_nothing(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend, closing(Store(backend)) as store:
        old = store.publish("cat", b"one")
        pages = backend._connection.execute("PRAGMA page_count").fetchone()[0]
        backend._connection.execute(f"PRAGMA max_page_count = {pages + 20}").fetchall()
        with pytest.raises(StoreFull):
            store.publish("cat", MEBIBYTE)
        assert store.snapshot().generation == 1
        assert store.read(old.version.sha256) == b"one"
        backend._connection.execute("PRAGMA max_page_count = 1000000").fetchall()
        assert store.publish("cat", MEBIBYTE).generation == 2


def test_a_file_that_became_read_only_is_still_read(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend, closing(Store(backend)) as store:
        store.publish("cat", b"one")
        backend._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable, match="readonly"):
            store.publish("cat", b"two")
        assert store.read(digest(b"one")) == b"one"


def test_a_damaged_file_is_read_as_far_as_it_goes_and_not_written(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend:
        backend.create("log/a", b"one")
        for name in "abcdefgh":
            backend.create(f"blobs/{name}", MEBIBYTE)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with closing(SqliteBackend(path)) as backend:
        assert backend.damage
        assert backend.get("blobs/h") == MEBIBYTE
        with pytest.raises(StoreDamaged):
            backend.create("blobs/i", MEBIBYTE)


def test_a_file_of_another_format_version_is_refused(path: Path) -> None:
    SqliteBackend(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(UnsupportedStoreVersion, match="format 2"):
        SqliteBackend(path)


def test_the_reserve_is_given_up_once_and_kept_again(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend:
        assert backend.release_reserve()
        assert not backend.release_reserve()
        backend.keep_reserve()
        assert backend.release_reserve()


def test_two_processes_may_create_the_file_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteBackend(path).close()
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    SqliteBackend(path).close()


def test_a_locked_file_is_unavailable_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters_store.sqlite_backend.BUSY_SECONDS", 0.01)
    with closing(SqliteBackend(path)) as backend, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            backend.create("blobs/a", b"one")
        other.execute("COMMIT")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            backend.get("blobs/a")


def test_a_reader_waits_for_a_writer_of_another_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteBackend(path)) as backend, closing(sqlite3.connect(path, isolation_level=None)) as other:
        backend.create("blobs/a", b"one")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr("time.sleep", lambda _: other.execute("COMMIT"))
        assert backend.get("blobs/a") == b"one"


def test_an_index_that_disagrees_is_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteBackend(path).close()
    monkeypatch.setattr(sqlite_backend, "_COUNTS", "SELECT 2, 1")
    with closing(SqliteBackend(path)) as backend:
        assert "2 objects, and 1 of them in the index" in backend.damage


def test_a_closed_store_is_unavailable(path: Path) -> None:
    backend = SqliteBackend(path)
    backend.close()
    with pytest.raises(StoreUnavailable):
        backend.get("blobs/a")


def test_a_sweep_gives_room_back_to_the_disk(path: Path) -> None:
    with closing(Store(SqliteBackend(path))) as store:
        store.publish("cat", MEBIBYTE)
        store.delete_task("cat")
        store.sweep(older_than=0)
    assert path.stat().st_size < len(MEBIBYTE) / 4


class _Failing:
    """A connection whose writes fail as those of a broken disk do."""

    def __init__(self, code: int) -> None:
        self.error = sqlite3.OperationalError("disk I/O error")
        self.error.sqlite_errorcode = code

    def execute(self, *_: object) -> None:
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, errno.EDQUOT, StoreFull),
        (sqlite3.SQLITE_IOERR_FSYNC, errno.ENOSPC, StoreFull),
        (sqlite3.SQLITE_IOERR_WRITE, errno.EFBIG, StoreFull),
        (sqlite3.SQLITE_IOERR_WRITE, errno.EIO, StoreUnavailable),
        (sqlite3.SQLITE_IOERR_WRITE, 0, StoreUnavailable),
        (sqlite3.SQLITE_BUSY, errno.ENOSPC, StoreUnavailable),
    ],
)
def test_a_failed_write_is_for_want_of_room_only_if_the_disk_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: int, kind: type[Exception]
) -> None:
    def fsync(_: int) -> None:
        if reason:
            raise OSError(reason, os.strerror(reason))

    with closing(SqliteBackend(path)) as backend:
        monkeypatch.setattr(backend, "_connection", _Failing(code))
        monkeypatch.setattr(os, "fsync", fsync)
        before = set(path.parent.iterdir())
        with pytest.raises(kind) as raised:
            backend.create("blobs/a", b"one")
        assert type(raised.value) is kind
        assert set(path.parent.iterdir()) == before


def test_a_disk_that_is_full_from_the_start_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreFull):
        SqliteBackend(path)
