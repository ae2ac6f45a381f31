"""A backend in an object store, through obstore: memory, S3, Google Cloud, Azure. Every write is create-if-absent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from adapters_store.backend import ObjectInfo
from adapters_store.errors import StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectStoreBackend:
    """See `Backend`."""

    def __init__(self, store: "ObjectStore") -> None:
        self._store = store

    def create(self, name: str, data: bytes) -> bool:
        """See `Backend.create`."""
        with _translated():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def get(self, name: str) -> bytes | None:
        """See `Backend.get`."""
        with _translated():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def list(self, folder: str) -> list[ObjectInfo]:
        """See `Backend.list`."""
        with _translated():
            found = (item for page in obstore.list(self._store, folder) for item in page)
            return [ObjectInfo(item["path"], item["last_modified"].timestamp()) for item in found]

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        with _translated():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def tidy(self) -> None:
        """Do nothing: an object store shows no unfinished object."""

    def close(self) -> None:
        """Do nothing: connections belong to the client and end with it."""


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of the client into this package's; the client's text, which may hold URLs, stays the cause."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"the object store failed: {type(error).__name__}") from error
