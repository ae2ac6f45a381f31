"""The homes a store can have, each a way to open it again and again on the same place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from obstore.store import LocalStore, MemoryStore

from adapters_store.bucket import Bucket
from adapters_store.folder_bucket import FolderBucket
from adapters_store.log_store import LogStore
from adapters_store.object_bucket import ObjectBucket
from adapters_store.sqlite_bucket import SqliteBucket

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Home:
    """One place; what is opened on it shares its contents."""

    bucket: Callable[[], Bucket]

    def open(self) -> LogStore:
        """Open the store as another process would."""
        return LogStore(self.bucket())


def sqlite_home(folder: Path) -> Home:
    return Home(lambda: SqliteBucket(folder / "store.db"))


def folder_home(folder: Path) -> Home:
    return Home(lambda: FolderBucket(folder / "store"))


def memory_home(_: Path) -> Home:
    shared = MemoryStore()
    return Home(lambda: ObjectBucket(shared))


def local_object_home(folder: Path) -> Home:
    return Home(lambda: ObjectBucket(LocalStore(folder / "objects", mkdir=True)))


HOMES = {
    "sqlite": sqlite_home,
    "folder": folder_home,
    "object-memory": memory_home,
    "object-local": local_object_home,
}
LOCAL_HOMES = {"sqlite": sqlite_home, "folder": folder_home}
