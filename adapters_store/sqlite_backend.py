"""A backend in one SQLite file: atomic, durable, safe for several processes. It knows nothing of what the bytes mean.

Every method is a single statement in autocommit mode, so SQLite itself makes it atomic. WAL lets readers go
on while one process writes; synchronous=FULL means that a returned `create` has reached the disk.
"""

import errno
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters_store.backend import ObjectInfo
from adapters_store.errors import BackendError, NotAStore, StoreFull, StoreUnavailable

APPLICATION_ID = 0x6D694D69  # "miMi", in the file's header: it tells our files from those of other programs
BUSY_SECONDS = 30.0  # how long a writer waits for another process's write
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
WAL_KEPT = 64 * 1024 * 1024  # bytes that the write-ahead log may keep after a checkpoint

# Windows has none of the last three.
_CLAIM = os.O_RDWR | os.O_CREAT | sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))
_TABLE = "CREATE TABLE IF NOT EXISTS objects (name TEXT PRIMARY KEY, written_at REAL NOT NULL, body BLOB NOT NULL)"


class SqliteBackend:
    """See `Backend`. The connection is shared by all threads, one statement at a time; open anew after a fork."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        with _translated():
            _claim(path)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with _translated():
                _set_up(self._connection)
        except BackendError:
            self._connection.close()
            raise

    def create(self, name: str, data: bytes) -> bool:
        """See `Backend.create`."""
        try:
            with self._statement() as connection:
                cursor = connection.execute("INSERT OR IGNORE INTO objects VALUES (?, ?, ?)", (name, time.time(), data))
                return cursor.rowcount == 1
        except StoreUnavailable as error:
            if not _input_output_failed(error.__cause__) or has_room(self._path, len(data)):
                raise
            raise StoreFull("the disk, or what may be used of it, is full") from error

    def get(self, name: str) -> bytes | None:
        """See `Backend.get`."""
        with self._statement() as connection:
            row = connection.execute("SELECT body FROM objects WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def list(self, folder: str) -> list[ObjectInfo]:
        """See `Backend.list`."""
        bounds = f"{folder}/", f"{folder}0"  # "0" is the character after "/"
        with self._statement() as connection:
            rows = connection.execute("SELECT name, written_at FROM objects WHERE name > ? AND name < ?", bounds)
            return [ObjectInfo(*row) for row in rows]

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        with self._statement() as connection:
            connection.execute("DELETE FROM objects WHERE name = ?", (name,))

    def tidy(self) -> None:
        """Give pages that deletions freed back to the disk; SQLite itself cleans up after killed writers."""
        with self._statement() as connection:
            connection.executescript("PRAGMA incremental_vacuum")  # a script runs to its end, `execute` frees one page

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _statement(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            yield self._connection


def _input_output_failed(cause: BaseException | None) -> bool:
    return isinstance(cause, sqlite3.Error) and _primary(cause) == sqlite3.SQLITE_IOERR


def has_room(path: Path, size: int) -> bool:
    """Return whether `size` more bytes can be written beside a database. A place that is not writable is not full.

    SQLite reports a full disk, but a used-up quota or a limit on the size of files looks like any other failed write.
    """
    try:
        end = path.with_name(f"{path.name}-wal").stat().st_size
        with tempfile.TemporaryFile(dir=path.parent) as probe:  # it has no name, so nothing is left of it
            probe.seek(end)
            probe.write(bytes(size))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno not in _FULL
    return True


def _claim(path: Path) -> None:
    """Create the file if there is none, for its owner only. Refuse links: they would give one file two names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        raise NotAStore("the store file is a symbolic link")
    descriptor = os.open(path, _CLAIM, 0o600)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise NotAStore("the store file is not a plain file with one name")


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT}").fetchall()
    if _owner(connection) != APPLICATION_ID:
        _initialise(connection)


def _initialise(connection: sqlite3.Connection) -> None:
    """Make an empty database a store. Several processes may try at once; the lock lets one of them do it."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect only before the first table
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    if _owner(connection) != APPLICATION_ID:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
            raise NotAStore("the store file is another program's database")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(_TABLE)
    connection.execute("COMMIT")


def _owner(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of SQLite and of the file system into this package's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _backend_error(_primary(error))(f"SQLite: {error}") from error
    except OSError as error:
        kind = StoreFull if error.errno in _FULL else StoreUnavailable
        raise kind(f"the store file cannot be used: {os.strerror(error.errno or 0)}") from error


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _backend_error(code: int) -> type[BackendError]:
    return {sqlite3.SQLITE_FULL: StoreFull, sqlite3.SQLITE_NOTADB: NotAStore}.get(code, StoreUnavailable)
