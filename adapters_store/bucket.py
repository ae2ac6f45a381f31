"""The one thing a home must offer: named bytes, created once, never changed. All else is built on this.

A home may be slow or far; it must be atomic. After `create` returned, the bytes survive the process, and an object is
either there as a whole or not at all.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

FOLDERS = ("blobs", "log", "snapshots")  # every name is one of these, a slash, and a plain file name


class Listed(NamedTuple):
    """An object that exists, and since when by the home's own clock."""

    name: str
    written_at: float  # seconds since 1970


class Bucket(Protocol):
    """Where objects lie. Every method may raise StoreFull or StoreUnavailable."""

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless the name is taken; tell whether it was written."""

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes, None where there is none."""

    def list(self, folder: str) -> Iterable[Listed]:
        """Return what lies in a folder, in any order."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""

    def tidy(self) -> None:
        """Remove what killed writers left behind, and nothing of those who live."""

    def close(self) -> None:
        """Let go of files and connections."""
