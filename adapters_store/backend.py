"""The interface of a backend: named bytes that are created once and never change. The store needs nothing else.

A backend may be slow or far away, but it must be atomic. After `create` has returned, the bytes survive the process;
an object exists as a whole or not at all.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

BLOBS, LOG, SNAPSHOTS = "blobs", "log", "snapshots"
FOLDERS = (BLOBS, LOG, SNAPSHOTS)  # every name is one of these, a slash, and a plain file name
RESERVE_BYTES = 512 * 1024  # enough for a log entry, and for the journal of a few deletions


class ObjectInfo(NamedTuple):
    """An object that exists, and since when, by the backend's own clock."""

    name: str
    written_at: float  # seconds since 1970


class Backend(Protocol):
    """A place for objects. Every method may raise BackendError."""

    @property
    def damage(self) -> str:
        """Why the backend as a whole is damaged; empty if it is not. A damaged one is read as far as possible."""

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless the name is taken; return whether it was written."""

    def replace(self, name: str, data: bytes) -> None:
        """Write an object over a damaged one of the same name."""

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes, or None if there is no such object."""

    def list(self, folder: str) -> Iterable[ObjectInfo]:
        """Return the objects of a folder, in any order."""

    def delete(self, name: str) -> None:
        """Remove an object; it is no error if there is none."""

    def tidy(self) -> None:
        """Remove what killed writers left behind, and nothing that belongs to living writers."""

    def verify(self) -> None:
        """Check that the data is still that of the store that was opened.

        Raises:
            StoreReplaced: It is gone, or something else is in its place.
        """

    def reopen(self) -> None:
        """Open the store that is there now. Nothing is created.

        Raises:
            StoreReplaced: Nothing is there.
        """

    def release_reserve(self) -> bool:
        """Give up the room that is kept for changes on a full disk; return whether there was any."""

    def keep_reserve(self) -> None:
        """Take that room again, if there is enough."""

    def close(self) -> None:
        """Close files and connections."""


class Reserve:
    """A file that only takes room. It is given up on a full disk, so that deletions can be written there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        """Create the file, unless it is there or there is no room for it."""
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                written = os.write(descriptor, bytes(RESERVE_BYTES)) == RESERVE_BYTES
            except OSError:
                written = False
            os.close(descriptor)
            if not written:
                os.unlink(self._path)

    def release(self) -> bool:
        """Remove the file; return whether it was there."""
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True
