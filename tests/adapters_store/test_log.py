"""Conformance: the log and its snapshots, when opened again and when damaged, the same on every backend."""

from contextlib import closing

import pytest

from adapters_store.backend import LOG, SNAPSHOTS, ObjectInfo
from adapters_store.errors import CorruptLog, StoreDamaged
from adapters_store.store import Store
from tests.adapters_store.backends import Place


def test_a_store_opened_again_holds_the_same(filled: Store, place: Place) -> None:
    filled.delete_task("cat")
    filled.publish("dog", b"one")
    with closing(place.open()) as again:
        assert again.snapshot() == filled.snapshot()


def test_snapshots_shorten_the_way_to_the_same_state(place: Place) -> None:
    with closing(Store(place.backend(), snapshot_every=2)) as store:
        for number in range(7):
            store.publish("cat", str(number).encode())
        store.delete_task("cat")
        store.publish("dog", b"one")
    with closing(place.backend()) as backend:
        for generation in range(1, 9):  # what the newest snapshot stands for
            backend.delete(f"{LOG}/{generation:012d}.json")
    with closing(place.open()) as again:
        assert again.snapshot() == store._log.seen


def test_a_damaged_snapshot_is_passed_over(place: Place) -> None:
    with closing(Store(place.backend(), snapshot_every=2)) as store, closing(place.backend()) as backend:
        for number in range(4):
            store.publish("cat", str(number).encode())
        newest = max(item.name for item in backend.list(SNAPSHOTS))
        backend.delete(newest)
        backend.create(newest, b'{"generation": 4}')
        with closing(place.open()) as again:
            assert again.snapshot() == store.snapshot()


def test_a_snapshot_that_vanishes_while_it_is_looked_for_is_passed_over(place: Place) -> None:
    backend = place.backend()
    with closing(Store(backend, snapshot_every=1)) as store:
        store.publish("cat", b"one")
        backend.delete(f"{SNAPSHOTS}/{1:012d}.json")
        listed = [ObjectInfo(f"{SNAPSHOTS}/{1:012d}.json", 0.0)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend, "list", lambda _: listed)
            assert Store(backend).snapshot() == store.snapshot()


@pytest.mark.parametrize("entry", [b"", b"{}", b"\xff", b"[]", b'{"generation":NaN}', b'{"format":2}'])
def test_a_damaged_log_entry_is_named_and_nothing_is_written_after_it(
    filled: Store, place: Place, entry: bytes
) -> None:
    before = filled.snapshot()
    with closing(place.backend()) as backend:
        backend.create(f"{LOG}/{3:012d}.json", entry)
    assert filled.snapshot().tasks == before.tasks
    with pytest.raises(CorruptLog):
        filled.changes(0)
    with pytest.raises(StoreDamaged):
        filled.publish("cat", b"three")
    assert [fault.where for fault in filled.faults] == [f"{LOG}/{3:012d}.json"]


def test_an_entry_under_another_number_is_corrupt(filled: Store, place: Place) -> None:
    with closing(place.backend()) as backend:
        backend.create(f"{LOG}/{3:012d}.json", backend.get(f"{LOG}/{2:012d}.json") or b"")
    with pytest.raises(CorruptLog, match="says it is entry 2"):
        filled.changes(0)
