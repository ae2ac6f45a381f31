"""Conformance: the blobs that a sweep removes and keeps, also while others publish; and the seeding of a new store."""

from contextlib import closing

import pytest

from adapters_store import digest
from adapters_store.backend import SNAPSHOTS, Backend
from adapters_store.errors import StoreUnavailable, UnknownBlob
from adapters_store.events import BlobsCollected, Seeded
from adapters_store.store import Store
from tests.adapters_store.backends import Interrupted, Place


class AnsweringLate(Interrupted):
    """A real backend whose first log entry is written, but reported as taken: the answer was lost, the retry failed."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, "log/", lambda: None)

    def create(self, name: str, data: bytes) -> bool:
        first = bool(self._happenings) and name.startswith(self._folder)
        return super().create(name, data) and not first


class DeletedMeanwhile(Interrupted):
    """A real backend; right after its first log entry was written, something else happens."""

    def create(self, name: str, data: bytes) -> bool:
        created = self._backend.create(name, data)
        if name.startswith(self._folder) and self._happenings:
            self._happenings.pop()()
        return created


class Forgetful(Interrupted):
    """A real backend that loses objects that are written again."""

    def replace(self, name: str, data: bytes) -> None:
        self._backend.delete(name)


def test_a_sweep_takes_what_nothing_names(store: Store) -> None:
    gone = store.publish("cat", b"one").version
    kept = store.publish("dog", b"two").version
    store.delete_task("cat")
    assert store.read(gone.sha256) == b"one"
    assert store.sweep(older_than=0) == 1
    assert store.read(kept.sha256) == b"two"
    with pytest.raises(UnknownBlob):
        store.read(gone.sha256)


def test_a_sweep_leaves_what_is_young(store: Store) -> None:
    store.publish("cat", b"one")
    store.delete_task("cat")
    assert store.sweep() == 0
    assert store.sweep(older_than=60) == 0


def test_a_sweep_leaves_what_another_task_names(store: Store) -> None:
    version = store.publish("cat", b"one").version
    store.publish("dog", b"one")
    store.delete_task("cat")
    assert store.sweep(older_than=0) == 0
    assert store.read(version.sha256) == b"one"


def test_a_sweep_is_one_entry_in_the_log_and_none_if_nothing_was_found(store: Store) -> None:
    store.publish("cat", b"one")
    store.delete_task("cat")
    store.sweep(older_than=0)
    store.sweep(older_than=0)
    assert [change.event for change in store.changes(2)] == [BlobsCollected(1)]


def test_bytes_swept_away_can_be_published_again(store: Store) -> None:
    store.publish("cat", b"one")
    store.delete_task("cat")
    store.sweep(older_than=0)
    assert store.read(store.publish("cat", b"one").version.sha256) == b"one"


def test_a_sweep_keeps_two_snapshots(place: Place) -> None:
    with closing(Store(place.backend(), snapshot_every=1)) as store, closing(place.backend()) as backend:
        for number in range(5):
            store.publish("cat", str(number).encode())
        store.sweep()
        assert sorted(item.name[-7:] for item in backend.list(SNAPSHOTS)) == ["04.json", "05.json"]


def test_a_blob_swept_between_its_upload_and_its_entry_is_uploaded_again(store: Store, place: Place) -> None:
    swept: list[int] = []
    backend = Interrupted(place.backend(), "log/", lambda: swept.append(store.sweep(older_than=-60)))
    with closing(Store(backend)) as slow:
        version = slow.publish("cat", b"one").version
    assert swept == [1]
    assert store.read(version.sha256) == b"one"


def test_a_writer_that_lost_its_number_to_another_task_tries_again(store: Store, place: Place) -> None:
    backend = Interrupted(place.backend(), "log/", lambda: store.publish("dog", b"two"))
    with closing(Store(backend)) as slow:
        assert slow.publish("cat", b"one", expected_generation=0).generation == 2
    assert store.sweep(older_than=-60) == 0  # it did not upload twice


def test_the_same_bytes_published_at_once_are_one_version(store: Store, place: Place) -> None:
    backend = Interrupted(place.backend(), "log/", lambda: store.publish("cat", b"one"))
    with closing(Store(backend)) as slow:
        assert slow.publish("cat", b"one").created is False
    assert set(store.snapshot().tasks["cat"].versions) == {1}


def test_a_writer_knows_its_own_entry_again_when_the_answer_was_lost(place: Place) -> None:
    with closing(Store(AnsweringLate(place.backend()))) as store:
        assert store.publish("cat", b"one", expected_generation=0).created
        assert store.snapshot().generation == 1


def test_a_new_store_is_seeded_with_one_entry(store: Store) -> None:
    assert store.seed({"cat": b"one", "dog": b"two"})
    assert {task: set(state.versions) for task, state in store.snapshot().tasks.items()} == {"cat": {1}, "dog": {1}}
    assert store.read(digest(b"two")) == b"two"
    assert store.snapshot().tasks["dog"].aliases == {"live": {1: 100}}
    assert isinstance(store.changes(0)[0].event, Seeded)


def test_a_store_is_seeded_once_even_if_the_seeds_were_deleted(store: Store, place: Place) -> None:
    store.seed({"cat": b"one"})
    store.delete_task("cat")
    with closing(place.open()) as again:
        assert not again.seed({"cat": b"one", "dog": b"two"})
        assert again.snapshot().tasks == {}


def test_a_store_that_a_user_wrote_to_is_not_seeded(store: Store) -> None:
    store.publish("mine", b"one")
    assert not store.seed({"cat": b"one"})


def test_of_two_that_seed_at_once_one_does(store: Store, place: Place) -> None:
    backend = Interrupted(place.backend(), "log/", lambda: store.seed({"cat": b"one"}))
    with closing(Store(backend)) as slow:
        assert not slow.seed({"cat": b"other"})
    assert store.read(digest(b"one")) == b"one"


def test_seeding_with_nothing_leaves_the_store_new(store: Store) -> None:
    assert not store.seed({})
    assert store.snapshot().generation == 0


def test_a_version_deleted_and_swept_before_its_bytes_were_read_back_was_published(place: Place) -> None:
    with closing(place.open()) as other:

        def delete() -> None:
            other.delete_task("cat")
            assert other.sweep(older_than=-60) == 1

        with closing(Store(Forgetful(DeletedMeanwhile(place.backend(), "log/", delete), "", int))) as store:
            assert store.publish("cat", b"one").created
            assert store.snapshot().tasks == {}


def test_a_version_whose_bytes_do_not_stay_is_not_acknowledged(store: Store, place: Place) -> None:
    version = store.publish("cat", b"one").version
    with closing(place.backend()) as backend:
        backend.delete(version.blob)
    with (
        closing(Store(Forgetful(place.backend(), "", int))) as forgetful,
        pytest.raises(StoreUnavailable, match="do not read back"),
    ):
        forgetful.publish("cat", b"one")
