"""Conformance: publishing and reading, the same on every backend."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters_store import digest
from adapters_store.backend import BLOBS
from adapters_store.errors import CorruptBlob, InvalidName, StaleGeneration, StoreUnavailable, UnknownBlob
from adapters_store.store import Store, blob_name
from tests.adapters_store.backends import Interrupted, Place


@pytest.fixture
def other(place: Place) -> Iterator[Store]:
    """Another process's store over the same data."""
    with closing(place.open()) as opened:
        yield opened


def spoil(place: Place, blob: str) -> None:
    """Change stored bytes behind the store's back."""
    with closing(place.backend()) as backend:
        backend.delete(blob)
        backend.create(blob, b"rotten")


def test_the_first_bytes_are_version_one_and_live(store: Store) -> None:
    published = store.publish("cat", b"one")
    assert (published.version.version, published.generation, published.created) == (1, 1, True)
    assert store.snapshot().tasks["cat"].aliases == {"live": {1: 100}}


def test_a_version_knows_its_hash_size_and_time(store: Store) -> None:
    version = store.publish("cat", b"one").version
    assert (version.sha256, version.size) == (digest(b"one"), 3)
    assert version.created_at > 1.7e9


def test_other_bytes_are_the_next_version(store: Store) -> None:
    store.publish("cat", b"one")
    assert store.publish("cat", b"two").version.version == 2
    assert store.snapshot().tasks["cat"].aliases == {"live": {2: 100}}


def test_the_same_bytes_are_the_same_version_and_no_change(store: Store) -> None:
    first = store.publish("cat", b"one")
    again = store.publish("cat", b"one")
    assert again == first._replace(created=False)
    assert store.snapshot().generation == 1


def test_older_bytes_published_again_become_live_again(store: Store) -> None:
    store.publish("cat", b"one")
    store.publish("cat", b"two")
    again = store.publish("cat", b"one")
    assert (again.version.version, again.created, again.generation) == (1, False, 3)
    assert store.snapshot().tasks["cat"].aliases == {"live": {1: 100}}


def test_a_version_may_be_published_under_another_alias_or_none(store: Store) -> None:
    store.publish("cat", b"one", alias="canary")
    store.publish("cat", b"two", alias=None)
    assert store.publish("cat", b"two", alias=None).created is False
    assert store.snapshot().tasks["cat"].aliases == {"canary": {1: 100}}


def test_what_was_published_is_read(store: Store, other: Store) -> None:
    data = bytes(range(256)) * 4096
    sha256 = store.publish("cat", data).version.sha256
    assert store.read(sha256) == data
    assert other.read(sha256) == data


def test_empty_bytes_are_bytes(store: Store) -> None:
    assert store.read(store.publish("cat", b"").version.sha256) == b""


@pytest.mark.parametrize("sha256", [digest(b"never"), "", "../log", "AB" * 32, digest(b"one") + "\n"])
def test_unknown_bytes_are_not_read(store: Store, sha256: str) -> None:
    store.publish("cat", b"one")
    with pytest.raises(UnknownBlob):
        store.read(sha256)


def test_bytes_that_changed_on_disk_are_not_read(store: Store, place: Place) -> None:
    version = store.publish("cat", b"one").version
    spoil(place, version.blob)
    with pytest.raises(CorruptBlob):
        store.read(version.sha256)


def test_bytes_that_vanished_are_unknown(store: Store, place: Place) -> None:
    version = store.publish("cat", b"one").version
    with closing(place.backend()) as backend:
        backend.delete(version.blob)
    with pytest.raises(UnknownBlob):
        store.read(version.sha256)


def test_two_tasks_share_the_bytes_they_have_in_common(store: Store, place: Place) -> None:
    store.publish("cat", b"one")
    store.publish("dog", b"one")
    with closing(place.backend()) as backend:
        assert len(list(backend.list(BLOBS))) == 1


def test_a_rotten_copy_is_not_shared_and_a_fresh_one_heals_it(store: Store, place: Place) -> None:
    rotten = store.publish("cat", b"one").version
    spoil(place, rotten.blob)
    fresh = store.publish("dog", b"one").version
    assert fresh.blob != rotten.blob
    assert store.read(rotten.sha256) == b"one"


def test_a_rotten_version_is_mended_by_publishing_its_bytes_again(store: Store, place: Place) -> None:
    version = store.publish("cat", b"one").version
    spoil(place, version.blob)
    again = store.publish("cat", b"one")
    assert (again.version, again.created) == (version, False)
    assert store.read(version.sha256) == b"one"
    with closing(place.open()) as restarted:
        assert restarted.read(version.sha256) == b"one"


def test_a_rotten_leftover_of_a_killed_writer_is_written_anew(store: Store, place: Place) -> None:
    with closing(place.backend()) as backend:
        backend.create(blob_name(digest(b"one"), 0), b"rotten")
    assert store.read(store.publish("cat", b"one").version.sha256) == b"one"


def test_bytes_that_do_not_read_back_are_not_acknowledged(place: Place) -> None:
    class Forgetful(Interrupted):
        """A real backend that loses every blob."""

        def get(self, name: str) -> bytes | None:
            return None if name.startswith(BLOBS) else super().get(name)

    forgetful = Forgetful(place.backend(), "none", lambda: None)
    with closing(Store(forgetful)) as store, pytest.raises(StoreUnavailable, match="read back"):
        store.publish("cat", b"one")


@pytest.mark.parametrize("task", ["", "..", "a/b", "Cat", "cat\n", "-cat", "é", "c" * 65, "a\x00", ".cat", "a b"])
def test_a_task_has_a_plain_lower_case_name(store: Store, task: str) -> None:
    with pytest.raises(InvalidName):
        store.publish(task, b"one")


@pytest.mark.parametrize("alias", ["", "3", "Live", "live\n", "a" * 65])
def test_an_alias_has_a_plain_lower_case_name_that_is_no_number(store: Store, alias: str) -> None:
    with pytest.raises(InvalidName):
        store.publish("cat", b"one", alias=alias)


@pytest.mark.parametrize("task", ["c", "0", "a-b_c", "c" * 64])
def test_allowed_names_are_allowed(store: Store, task: str) -> None:
    assert store.publish(task, b"one").created


def test_a_writer_who_saw_the_newest_generation_may_publish(store: Store) -> None:
    generation = store.publish("cat", b"one", expected_generation=0).generation
    assert store.publish("cat", b"two", expected_generation=generation).created


def test_a_stale_writer_is_refused(store: Store, other: Store) -> None:
    generation = store.publish("cat", b"one").generation
    other.publish("cat", b"two")
    with pytest.raises(StaleGeneration) as caught:
        store.publish("cat", b"three", expected_generation=generation)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert store.snapshot().tasks["cat"].last_version == 2


def test_a_writer_who_expects_no_task_is_refused_where_there_is_one(store: Store) -> None:
    store.publish("cat", b"one")
    with pytest.raises(StaleGeneration):
        store.publish("cat", b"one", expected_generation=0)


def test_another_tasks_change_makes_nobody_stale(store: Store, other: Store) -> None:
    generation = store.publish("cat", b"one").generation
    other.publish("dog", b"one")
    assert store.publish("cat", b"two", expected_generation=generation).generation == 3
