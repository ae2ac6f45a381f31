"""What a backend must offer: named bytes that are created once and then never change. The store is built on this alone.

A backend may be slow or far away, but it must be atomic. After `create` has returned, the bytes survive the process;
an object exists as a whole or not at all.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

BLOBS, LOG, SNAPSHOTS = "blobs", "log", "snapshots"
FOLDERS = (BLOBS, LOG, SNAPSHOTS)  # every name is one of these, a slash, and a plain file name


class ObjectInfo(NamedTuple):
    """An object that exists, and since when, by the backend's own clock."""

    name: str
    written_at: float  # seconds since 1970


class Backend(Protocol):
    """A place for objects. Every method may raise StoreFull or StoreUnavailable."""

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless the name is taken; return whether it was written."""

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes, or None where there is no such object."""

    def list(self, folder: str) -> Iterable[ObjectInfo]:
        """Return the objects of a folder, in any order."""

    def delete(self, name: str) -> None:
        """Remove an object; it is no error if there is none."""

    def tidy(self) -> None:
        """Remove what killed writers left behind, and nothing that belongs to living writers."""

    def close(self) -> None:
        """Close files and connections."""
