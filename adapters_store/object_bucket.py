"""A bucket in an object store by way of obstore: memory, S3, Google Cloud, Azure. Every write is create-if-absent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from adapters_store.bucket import Listed
from adapters_store.store_errors import StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectBucket:
    """See `Bucket`."""

    def __init__(self, store: "ObjectStore") -> None:
        self._store = store

    def create(self, name: str, data: bytes) -> bool:
        """See `Bucket.create`."""
        with _translated():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def get(self, name: str) -> bytes | None:
        """See `Bucket.get`."""
        with _translated():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def list(self, folder: str) -> list[Listed]:
        """See `Bucket.list`."""
        with _translated():
            found = (item for page in obstore.list(self._store, folder) for item in page)
            return [Listed(item["path"], item["last_modified"].timestamp()) for item in found]

    def delete(self, name: str) -> None:
        """See `Bucket.delete`."""
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
    """Hide the client's own error text: it holds URLs and paths. It stays reachable as the cause."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"the object store failed: {type(error).__name__}") from error
