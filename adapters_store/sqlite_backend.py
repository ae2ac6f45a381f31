"""A backend in one SQLite file: atomic, durable, safe for several processes. It does not interpret the bytes.

Every method is a single statement in autocommit mode, so SQLite itself makes it atomic. A rollback journal, and no
write-ahead log, keeps everything in one file. So a copy of the file is complete, an overwritten file is noticed at the
next statement, and a read-only file can be read. synchronous=EXTRA means that a returned `create` has reached the disk.
"""

import errno
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from adapters_store.backend import ObjectInfo, Reserve
from adapters_store.errors import (
    BackendError,
    NotAStore,
    StoreDamaged,
    StoreFull,
    StoreReadOnly,
    StoreReplaced,
    StoreUnavailable,
    UnsupportedStoreVersion,
)
from adapters_store.sqlite_pages import PageReader

APPLICATION_ID = 0x6D694D69  # "miMi", in the file's header: it tells our files from those of other programs
FORMAT = 1  # of the database, in the file's header
BUSY_SECONDS = 30.0  # how long a writer waits for another process's write
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_READER_WAITS = 0.001  # seconds
_PAGES_AT_ONCE = 64  # given back to the disk in one transaction, so that its journal stays small

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
_TABLE = "CREATE TABLE IF NOT EXISTS objects (name TEXT PRIMARY KEY, written_at REAL NOT NULL, body BLOB NOT NULL)"
_INSERT = "INSERT OR IGNORE INTO objects VALUES (?, ?, ?)"
_REPLACE = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?)"
_COUNTS = "SELECT (SELECT count(*) FROM objects NOT INDEXED), (SELECT count(*) FROM objects WHERE name > '')"


class SqliteBackend:
    """See `Backend`. The connection is shared by all threads, one statement at a time; open anew after a fork.

    A file with damaged pages is read page by page (`sqlite_pages`), and not written.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._path, self._lock = path, threading.RLock()
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        self._pages: PageReader | None = None
        self._damage = ""
        with _translated():
            if create:
                _create(path)
            self._open()
        if create:  # else it is only looked at, or looked after
            self.keep_reserve()

    @property
    def damage(self) -> str:
        """See `Backend.damage`."""
        return self._damage

    def create(self, name: str, data: bytes) -> bool:
        """See `Backend.create`."""
        return self._write(_INSERT, name, data)

    def replace(self, name: str, data: bytes) -> None:
        """See `Backend.replace`."""
        self._write(_REPLACE, name, data)

    def get(self, name: str) -> bytes | None:
        """See `Backend.get`."""
        rows = self._read("SELECT body FROM objects WHERE name = ?", (name,))
        if self._damage:  # perhaps only since this statement
            return self._get_from_pages(name)
        return _bytes(rows[0][0]) if rows else None

    def list(self, folder: str) -> list[ObjectInfo]:
        """See `Backend.list`."""
        bounds = f"{folder}/", f"{folder}0"  # "0" is the character after "/"
        rows = self._read("SELECT name, written_at FROM objects WHERE name > ? AND name < ?", bounds)
        if self._damage:
            found = self._read_pages().rows.values()
            return [ObjectInfo(row.name, row.written_at) for row in found if row.name.startswith(bounds[0])]
        return [ObjectInfo(str(name), float(at)) for name, at in rows]

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        with self._statement() as connection, _patient(connection):
            connection.execute("DELETE FROM objects WHERE name = ?", (name,))

    def tidy(self) -> None:
        """Return freed pages to the disk. SQLite itself cleans up after killed writers."""
        with self._statement() as connection, _patient(connection):
            for _ in range(_pragma(connection, "freelist_count") // _PAGES_AT_ONCE + 1):
                # A script runs to its end; `execute` would free one page.
                connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A context for one transaction: everything that is written inside becomes durable together at its end."""
        with self._statement() as connection, _patient(connection):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def held(self) -> Iterator[None]:
        """A context whose reads all see the same moment. Writers wait, so keep it short."""
        with self._statement(damaged=True) as connection:
            connection.execute("BEGIN")
            try:
                yield
            finally:
                connection.execute("COMMIT")

    def examine(self) -> None:
        """Have SQLite check every page; `damage` has the result."""
        with self._statement(damaged=True) as connection, _patient(connection):
            found = "ok" if self._damage else connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                self._found_damage(StoreDamaged(f"SQLite: {found}"))

    def verify(self) -> None:
        """See `Backend.verify`."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise StoreReplaced("the store's file is gone, or cannot be reached any more") from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise StoreReplaced("another file is where the store's file was")
        if self._damage and (status.st_size, status.st_mtime_ns) != self._damaged_at:
            raise StoreReplaced("the store's file was damaged, and was written since")

    def reopen(self) -> None:
        """See `Backend.reopen`."""
        with self._lock, _translated():
            if not self._path.exists():
                raise StoreReplaced("the store's file is gone")
            self._close()
            self._open()

    def release_reserve(self) -> bool:
        """See `Backend.release_reserve`."""
        return self._reserve.release()

    def keep_reserve(self) -> None:
        """See `Backend.keep_reserve`."""
        if not self._damage:
            self._reserve.keep()

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._close()

    def _open(self) -> None:
        self._damage = ""
        self._identity = _check_file(self._path)
        self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        self._connection.text_factory = _text
        try:
            with _translated():
                _at_once(lambda: _set_up(self._connection))
        except BackendError as error:
            if _code(error.__cause__) not in _DAMAGED or not self._is_ours():
                self._close()
                raise
            self._found_damage(error)

    def _found_damage(self, error: Exception) -> None:
        status = os.stat(self._path)
        self._damage, self._damaged_at = str(error), (status.st_size, status.st_mtime_ns)

    def _is_ours(self) -> bool:
        """Return whether a file that SQLite cannot read has our mark in its header, or objects of ours on any page."""
        pages = self._read_pages()
        return pages.application_id == APPLICATION_ID or any("/" in name for name in pages.rows)

    def _close(self) -> None:
        self._connection.close()
        if self._pages is not None:
            self._pages.close()
            self._pages = None

    def _read(self, query: str, values: tuple[str, ...]) -> Rows:
        """Return the rows of a query, nothing from a damaged file."""
        with self._statement(damaged=True) as connection:
            return [] if self._damage else _at_once(lambda: connection.execute(query, values).fetchall())

    def _write(self, statement: str, name: str, data: bytes) -> bool:
        try:
            with self._statement() as connection, _patient(connection):
                self.verify()
                written = connection.execute(statement, (name, time.time(), data)).rowcount == 1
                self.verify()  # it may have gone to a file that has no name any more
                return written
        except StoreUnavailable as error:
            if _code(error.__cause__) != sqlite3.SQLITE_IOERR or has_room(self._path, len(data)):
                raise
            raise StoreFull("the disk, or the part of it that may be used, is full") from error

    @contextmanager
    def _statement(self, *, damaged: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield the connection; once the file is known to be damaged, only to those who can do without it."""
        with self._lock:
            if self._damage and not damaged:
                raise StoreDamaged(f"the store's file is damaged: {self._damage}")
            try:
                with _translated():
                    yield self._connection
            except BackendError as error:
                if _code(error.__cause__) not in _DAMAGED:
                    raise
                self._found_damage(error)
                if not damaged:
                    raise StoreDamaged(f"the store's file is damaged: {error}") from error

    def _get_from_pages(self, name: str) -> bytes | None:
        pages = self._read_pages()
        return pages.body(pages.rows[name]) if name in pages.rows else None

    def _read_pages(self) -> PageReader:
        with self._lock, _translated():
            if self._pages is None:
                self._pages = PageReader(self._path)
            return self._pages


def has_room(path: Path, size: int) -> bool:
    """Return whether `size` more bytes can be written beside a database. A place that is not writable is not full.

    SQLite reports a full disk as such, but not a used-up quota or a limit on the size of files.
    """
    try:
        end = path.stat().st_size
        with tempfile.TemporaryFile(dir=path.parent) as probe:  # it has no name, so nothing is left of it
            probe.seek(end)
            probe.write(bytes(size))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno not in _FULL
    return True


def _at_once(read: Callable[[], T]) -> T:
    """Return what is read; try again at once where another process writes.

    SQLite's own waits grow to 0.1 s each. By then, a busy writer is at its next write.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return read()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_READER_WAITS)


@contextmanager
def _patient(connection: sqlite3.Connection) -> Iterator[None]:
    """Have SQLite wait for the locks of other processes. A waiting writer keeps new readers out."""
    connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
    try:
        yield
    finally:
        connection.execute("PRAGMA busy_timeout = 0")


def _create(path: Path) -> None:
    """Create the file if there is none, for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path):
        with suppress(FileExistsError):  # another process was faster
            os.close(os.open(path, _CREATE, 0o600))


def _check_file(path: Path) -> tuple[int, int]:
    """Return device and inode of a plain file. Refuse links: they would give one file two names.

    The file is not opened: closing it again would drop the locks that this process's other connections hold.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        kind = StoreUnavailable if stat.S_ISDIR(status.st_mode) else NotAStore
        raise kind("the store file is not a plain file with one name")
    return status.st_dev, status.st_ino


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA trusted_schema = OFF")
    if _owner(connection) != APPLICATION_ID:
        with _patient(connection):
            _initialise(connection)
    if (version := _pragma(connection, "user_version")) != FORMAT:
        raise UnsupportedStoreVersion(f"the store file has format {version}, this release reads {FORMAT}")
    rows, names = connection.execute(_COUNTS).fetchone()  # visits every page of rows, and every page of the index
    if rows != names:
        error = sqlite3.DatabaseError(f"{rows} objects, and {names} of them in the index")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _initialise(connection: sqlite3.Connection) -> None:
    """Make an empty database a store. Several processes may try at once; the lock lets one of them do it."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect only before the first table
    connection.execute("BEGIN IMMEDIATE")
    if _owner(connection) != APPLICATION_ID:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
            raise NotAStore("the store file is another program's database")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute(_TABLE)
    connection.execute("COMMIT")


def _owner(connection: sqlite3.Connection) -> int:
    return _pragma(connection, "application_id")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")  # whatever a damaged cell holds


def _bytes(cell: object) -> bytes:
    """Return a cell as bytes. A cell of another type is not an error here: its hash will be wrong."""
    return cell if isinstance(cell, bytes) else str(cell).encode(errors="surrogateescape")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of SQLite and of the file system into this package's errors."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED:
            raise StoreReplaced("the store's file is gone, or has another name now") from error
        raise _translate(_code(error), str(error)) from error
    except OSError as error:
        kind = StoreFull if error.errno in _FULL else StoreUnavailable
        raise kind(f"the store file cannot be used: {os.strerror(error.errno or 0)}") from error


def _code(error: BaseException | None) -> int:
    """Return SQLite's primary result code, 0 if there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _translate(code: int, text: str) -> BackendError:
    kinds: dict[int, type[BackendError]] = {
        sqlite3.SQLITE_FULL: StoreFull,
        sqlite3.SQLITE_NOTADB: NotAStore,
        sqlite3.SQLITE_READONLY: StoreReadOnly,
    }
    return kinds.get(code, StoreUnavailable)(f"SQLite: {text}")
