"""A cache lets a replica start and load while its object store cannot be reached; it never answers for a write."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from obstore.store import LocalStore

from adapters_store import digest
from adapters_store.backend import BLOBS, LOG, SNAPSHOTS
from adapters_store.cache import CachedBackend
from adapters_store.errors import StoreReplaced, StoreUnavailable
from adapters_store.object_store_backend import ObjectStoreBackend
from adapters_store.recovery import entry_name
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store


class Remote:
    """An object store in a folder, which an outage makes unreadable."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._away = folder, folder.with_name("away")

    def open(self) -> ObjectStoreBackend:
        return ObjectStoreBackend(LocalStore(self.folder, mkdir=True))

    def outage(self) -> None:
        self.folder.rename(self._away)
        self.folder.mkdir()
        for name in (LOG, SNAPSHOTS, BLOBS):
            (self.folder / name).write_bytes(b"in the way")

    def back(self) -> None:
        shutil.rmtree(self.folder)
        self._away.rename(self.folder)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    remote = Remote(tmp_path / "objects")
    with closing(Store(remote.open())) as store:
        store.publish("cat", b"one")
        store.publish("cat", b"two")
    return remote


def replica(remote: Remote) -> Store:
    return Store(CachedBackend(remote.open(), SqliteBackend(remote.folder.with_name("cache.db"))))


@pytest.fixture
def warm(remote: Remote) -> Remote:
    """A remote whose contents a replica has read once."""
    with closing(replica(remote)) as store:
        assert store.read(digest(b"one"))
        assert store.read(digest(b"two"))
    return remote


def test_a_replica_starts_during_an_outage_and_catches_up_after_it(warm: Remote) -> None:
    warm.outage()
    with closing(replica(warm)) as store:
        assert (store.offline, store.snapshot().generation) == (True, 2)
        assert store.read(digest(b"two")) == b"two"
        with pytest.raises(StoreUnavailable):
            store.publish("cat", b"three")
        warm.back()
        with closing(Store(warm.open())) as other:
            other.publish("cat", b"three")
        assert (store.snapshot().generation, store.offline) == (3, False)
        assert store.publish("cat", b"four").generation == 4


def test_an_outage_later_leaves_known_bytes_readable_and_is_told(warm: Remote) -> None:
    with closing(replica(warm)) as store:
        warm.outage()
        with pytest.raises(StoreUnavailable):
            store.snapshot()
        assert store.read(digest(b"one")) == b"one"
        assert not store.offline


def test_an_outage_with_an_empty_cache_is_told_at_once(remote: Remote) -> None:
    remote.outage()
    with pytest.raises(StoreUnavailable):
        replica(remote)


def test_a_log_that_went_back_is_noticed_through_the_cache(warm: Remote) -> None:
    with closing(replica(warm)) as store, closing(warm.open()) as backend:
        backend.delete(entry_name(2))
        with pytest.raises(StoreReplaced):
            store.snapshot()
        store.reload()
        assert store.snapshot().generation == 1
        assert store.publish("cat", b"three").generation == 2


def test_bytes_that_were_swept_leave_the_cache(warm: Remote) -> None:
    with closing(replica(warm)) as store:
        store.delete_task("cat")
        with closing(Store(warm.open())) as other:
            assert other.sweep(older_than=-60) == 2
        store.sweep()
        assert list(store._backend._local.list(BLOBS)) == []  # type: ignore[attr-defined]
        store.publish("cat", b"three")
        store.sweep()
        assert len(list(store._backend._local.list(BLOBS))) == 1  # type: ignore[attr-defined]
        store.delete_task("cat")
        assert store.sweep(older_than=-60) == 1


def test_a_rotten_copy_is_no_harm(warm: Remote) -> None:
    with closing(replica(warm)) as store:
        cached = store._backend._local  # type: ignore[attr-defined]
        for item in cached.list(BLOBS):
            cached.replace(item.name, b"rotten")
        assert store.read(digest(b"one")) == b"one"
        assert store.publish("cat", b"one").created is False
        cached.close()
        assert store.read(digest(b"two")) == b"two"
        assert store.faults == ()


def test_what_a_cache_does_not_keep_is_asked_of_the_store_itself(warm: Remote) -> None:
    with closing(warm.open()) as remote, closing(SqliteBackend(warm.folder.with_name("cache.db"))) as local:
        backend = CachedBackend(remote, local)
        backend.replace(entry_name(9), b"nine")
        assert remote.get(entry_name(9)) == b"nine"
        assert not backend.release_reserve()
        backend.keep_reserve()


def test_a_file_for_the_cache_makes_an_object_store_open_without_it(tmp_path: Path) -> None:
    from adapters_store import open_store  # noqa: PLC0415

    with closing(open_store(str(tmp_path / "store.db"), cache=tmp_path / "cache.db")) as local:
        local.publish("cat", b"one")
    assert not os.path.lexists(tmp_path / "cache.db")  # a local store needs none
    with closing(open_store("memory://", cache=tmp_path / "cache.db")) as store:
        store.publish("cat", b"one")
    with closing(SqliteBackend(tmp_path / "cache.db")) as cache:
        assert len(list(cache.list(BLOBS))) == 1
