"""A backend in a folder of plain files, for one machine or a shared file system that has hard links.

An object is written to a draft, flushed, then linked to its name: the link is atomic and fails if the name is taken.
Folders are opened once and links are never followed, so a link planted later cannot lead a read or write elsewhere.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters_store.backend import FOLDERS, ObjectInfo, Reserve
from adapters_store.errors import BackendError, NotAStore, StoreFull, StoreReadOnly, StoreReplaced, StoreUnavailable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a planted pipe must not wait
_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
STAGING = "staging"  # drafts: nothing here was ever acknowledged
_KINDS: Mapping[type[BackendError], set[int]] = {
    StoreFull: {errno.ENOSPC, errno.EDQUOT, errno.EFBIG},
    NotAStore: {errno.ENOTDIR, errno.ELOOP, errno.EEXIST},
    StoreReadOnly: {errno.EROFS, errno.EACCES, errno.EPERM},
}


class FolderBackend:
    """See `Backend`."""

    damage = ""  # each file is a matter of its own

    def __init__(self, root: Path) -> None:
        self._root, self._reserve = root, Reserve(root / "reserve")
        self._folders: dict[str, int] = {}  # name -> descriptor
        with _translated():
            root.mkdir(parents=True, exist_ok=True)
            self._open()
        self.keep_reserve()

    def create(self, name: str, data: bytes) -> bool:
        """See `Backend.create`."""
        folder, file = self._place(name)
        staging = self._folder(STAGING)
        with _translated(), _draft(staging) as (draft, descriptor):
            _write(descriptor, data)
            try:
                os.link(draft, file, src_dir_fd=staging, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                return False
            os.fsync(folder)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """See `Backend.replace`."""
        folder, file = self._place(name)
        staging = self._folder(STAGING)
        with _translated(), _draft(staging) as (draft, descriptor):
            _write(descriptor, data)
            os.rename(draft, file, src_dir_fd=staging, dst_dir_fd=folder)
            os.fsync(folder)

    def get(self, name: str) -> bytes | None:
        """See `Backend.get`."""
        folder, file = self._place(name)
        with _translated():
            try:
                descriptor = os.open(file, _FILE, dir_fd=folder)
            except FileNotFoundError:
                return None
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise NotAStore(f"{name} is not a plain file")
                return stream.read()

    def list(self, folder: str) -> list[ObjectInfo]:
        """See `Backend.list`."""
        with _translated():
            reopened = os.open(".", _FOLDER, dir_fd=self._folder(folder))  # two listings must not share a position
            try:
                with os.scandir(reopened) as entries:
                    found = [(entry.name, _modified(entry)) for entry in entries]
            finally:
                os.close(reopened)
        return [ObjectInfo(f"{folder}/{name}", at) for name, at in found if at is not None]

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        folder, file = self._place(name)
        with _translated(), suppress(FileNotFoundError):
            os.unlink(file, dir_fd=folder)

    def tidy(self) -> None:
        """Remove the drafts of killed writers: nobody holds a lock on those."""
        for draft in self.list(STAGING):
            staging, file = self._place(draft.name)
            with _translated(), suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(file, _FILE, dir_fd=staging)
                with os.fdopen(descriptor):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(file, dir_fd=staging)

    def verify(self) -> None:
        """See `Backend.verify`."""
        for name, descriptor in self._folders.items():
            try:
                found = os.stat(self._root / name)
            except OSError as error:
                raise StoreReplaced(f"the store's folder {name} is gone, or cannot be reached any more") from error
            if not os.path.samestat(found, os.fstat(descriptor)):
                raise StoreReplaced(f"another folder is where the store's folder {name} was")

    def reopen(self) -> None:
        """See `Backend.reopen`."""
        with _translated():
            if not all((self._root / folder).exists() for folder in FOLDERS):
                raise StoreReplaced("the store's folder is gone")
            self.close()
            self._open()

    def release_reserve(self) -> bool:
        """See `Backend.release_reserve`."""
        return self._reserve.release()

    def keep_reserve(self) -> None:
        """See `Backend.keep_reserve`."""
        self._reserve.keep()

    def close(self) -> None:
        """See `Backend.close`."""
        while self._folders:
            os.close(self._folders.popitem()[1])

    def _open(self) -> None:
        base = os.open(self._root, _FOLDER)
        try:
            made = [_make_folder(base, folder) for folder in (*FOLDERS, STAGING)]
            for folder in (*FOLDERS, STAGING):
                self._folders[folder] = os.open(folder, _FOLDER, dir_fd=base)
            if any(made):
                os.fsync(base)
        except OSError:
            self.close()
            raise
        finally:
            os.close(base)

    def _place(self, name: str) -> tuple[int, str]:
        folder, _, file = name.partition("/")
        return self._folder(folder), file

    def _folder(self, name: str) -> int:
        if name not in self._folders:
            raise StoreUnavailable("the store is closed")
        return self._folders[name]


def _make_folder(base: int, folder: str) -> bool:
    """Create a folder unless it is there; return whether it was created."""
    with suppress(FileExistsError):
        os.mkdir(folder, dir_fd=base)
        return True
    return False


@contextmanager
def _draft(staging: int) -> Iterator[tuple[str, int]]:
    """Create a draft, locked so that no sweep takes it, and remove it in the end."""
    name, descriptor = _locked_file(staging)
    try:
        yield name, descriptor
    finally:
        with suppress(OSError):  # `tidy` removes what is left
            os.unlink(name, dir_fd=staging)
        os.close(descriptor)


def _locked_file(staging: int) -> tuple[str, int]:
    while True:
        name = secrets.token_hex(16)
        descriptor = os.open(name, _DRAFT, 0o600, dir_fd=staging)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return name, descriptor
        os.close(descriptor)  # a sweep took it between the two calls above


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _modified(entry: os.DirEntry[str]) -> float | None:
    """Return when a plain file was written; None for anything else, and for a file that vanished meanwhile."""
    with suppress(FileNotFoundError):
        status = entry.stat(follow_symlinks=False)
        return status.st_mtime if stat.S_ISREG(status.st_mode) else None
    return None


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of the file system into this package's errors; they name no path."""
    try:
        yield
    except OSError as error:
        kind = next((kind for kind, numbers in _KINDS.items() if error.errno in numbers), StoreUnavailable)
        raise kind(f"the store folder: {os.strerror(error.errno or 0)}") from error
