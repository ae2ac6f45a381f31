"""A remote backend with a local file that caches the objects read from it.

Objects never change, so a cached object is always right. With the cache, a replica can start and load known weights
while the backend cannot be reached. Writes always go to the backend itself.
"""

from collections.abc import Iterable
from contextlib import suppress

from adapters_store.backend import BLOBS, Backend, ObjectInfo
from adapters_store.errors import BackendError, StoreUnavailable
from adapters_store.recovery import entry_name


class CachedBackend:
    """See `Backend`.

    Attributes:
        offline: the backend has not been reached since the start; all reads come from the cache.
    """

    def __init__(self, remote: Backend, local: Backend) -> None:
        """Try to reach the backend.

        Raises:
            StoreUnavailable: It cannot be reached, and the cache is empty.
        """
        self._remote, self._local, self.offline = remote, local, False
        try:
            remote.get(entry_name(1))
        except StoreUnavailable:
            if not list(local.list(BLOBS)):
                raise
            self.offline = True

    @property
    def damage(self) -> str:
        """See `Backend.damage`; damage of the cache does not matter."""
        return self._remote.damage

    def create(self, name: str, data: bytes) -> bool:
        """See `Backend.create`."""
        return self._remote.create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        """See `Backend.replace`."""
        self._remote.replace(name, data)

    def get(self, name: str) -> bytes | None:
        """See `Backend.get`."""
        copy = self._copy_of(name)
        if self.offline:
            return copy
        try:
            data = self._remote.get(name)
        except StoreUnavailable:
            if copy is None:
                raise
            return copy
        if data != copy:
            self._keep(name, data)
        return data

    def list(self, folder: str) -> Iterable[ObjectInfo]:
        """See `Backend.list`."""
        return self._local.list(folder) if self.offline else self._remote.list(folder)

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        self._remote.delete(name)
        self._keep(name, None)

    def tidy(self) -> None:
        """See `Backend.tidy`; blobs that the backend no longer has leave the copy too."""
        self._remote.tidy()
        there = {item.name for item in self._remote.list(BLOBS)}
        for item in self._local.list(BLOBS):
            if item.name not in there:
                self._keep(item.name, None)

    def verify(self) -> None:
        """See `Backend.verify`; while offline, try whether the backend can be reached again."""
        if self.offline:
            with suppress(StoreUnavailable):
                self._remote.get(entry_name(1))
                self.offline = False
        if not self.offline:
            self._remote.verify()

    def reopen(self) -> None:
        """See `Backend.reopen`."""
        self._remote.reopen()

    def release_reserve(self) -> bool:
        """See `Backend.release_reserve`."""
        return self._remote.release_reserve()

    def keep_reserve(self) -> None:
        """See `Backend.keep_reserve`."""
        self._remote.keep_reserve()

    def close(self) -> None:
        """See `Backend.close`."""
        self._remote.close()
        self._local.close()

    def _copy_of(self, name: str) -> bytes | None:
        with suppress(BackendError):  # a bad copy is like none
            return self._local.get(name)
        return None

    def _keep(self, name: str, data: bytes | None) -> None:
        with suppress(BackendError):  # a full disk nearby is no reason to fail
            if data is None:
                self._local.delete(name)
            else:
                self._local.replace(name, data)
