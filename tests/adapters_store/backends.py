"""Every kind of backend, each as a place that can be opened again and again; and backends that are interrupted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from obstore.store import LocalStore, MemoryStore, S3Store

from adapters_store.backend import Backend, ObjectInfo
from adapters_store.folder_backend import FolderBackend
from adapters_store.object_store_backend import ObjectStoreBackend
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store
from tests.s3_server import BUCKET, server

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


def s3_place(_: Path) -> Place:
    s3 = server()
    prefix = s3.prefix().removeprefix(f"s3://{BUCKET}/")

    def opened() -> ObjectStoreBackend:
        store = S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=s3.endpoint,
            access_key_id="testing",
            secret_access_key="testing",
            region="us-east-1",
            client_options={"allow_http": True},
        )
        return ObjectStoreBackend(store, "s3")

    return Place(opened)


PLACES = {
    "sqlite": sqlite_place,
    "folder": folder_place,
    "object-memory": memory_place,
    "object-local": local_object_place,
    "s3": s3_place,
}
LOCAL_PLACES = {"sqlite": sqlite_place, "folder": folder_place}


class Interrupted:
    """A real backend; just before the first object of a folder is written, something else happens."""

    def __init__(self, backend: Backend, folder: str, happening: Callable[[], object]) -> None:
        self._backend, self._folder = backend, folder
        self._happenings = [happening]

    def create(self, name: str, data: bytes) -> bool:
        if name.startswith(self._folder) and self._happenings:
            self._happenings.pop()()
        return self._backend.create(name, data)

    def get(self, name: str) -> bytes | None:
        return self._backend.get(name)

    def list(self, folder: str) -> list[ObjectInfo]:
        return list(self._backend.list(folder))

    def delete(self, name: str) -> None:
        self._backend.delete(name)

    def tidy(self) -> None:
        self._backend.tidy()

    @property
    def damage(self) -> str:
        return self._backend.damage

    def replace(self, name: str, data: bytes) -> None:
        self._backend.replace(name, data)

    def verify(self) -> None:
        self._backend.verify()

    def reopen(self) -> None:
        self._backend.reopen()

    def release_reserve(self) -> bool:
        return self._backend.release_reserve()

    def keep_reserve(self) -> None:
        self._backend.keep_reserve()

    def close(self) -> None:
        self._backend.close()
