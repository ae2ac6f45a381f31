"""The backends a store can have, each a way to open it again and again on the same place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from obstore.store import LocalStore, MemoryStore

from adapters_store.backend import Backend
from adapters_store.folder_backend import FolderBackend
from adapters_store.object_store_backend import ObjectStoreBackend
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Place:
    """One place; what is opened on it shares its contents."""

    backend: Callable[[], Backend]

    def open(self) -> Store:
        """Open the store as another process would."""
        return Store(self.backend())


def sqlite_place(folder: Path) -> Place:
    return Place(lambda: SqliteBackend(folder / "store.db"))


def folder_place(folder: Path) -> Place:
    return Place(lambda: FolderBackend(folder / "store"))


def memory_place(_: Path) -> Place:
    shared = MemoryStore()
    return Place(lambda: ObjectStoreBackend(shared))


def local_object_place(folder: Path) -> Place:
    return Place(lambda: ObjectStoreBackend(LocalStore(folder / "objects", mkdir=True)))


PLACES = {
    "sqlite": sqlite_place,
    "folder": folder_place,
    "object-memory": memory_place,
    "object-local": local_object_place,
}
LOCAL_PLACES = {"sqlite": sqlite_place, "folder": folder_place}
