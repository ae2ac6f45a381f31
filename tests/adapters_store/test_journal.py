"""Conformance: the log and its snapshots, when opened again and when damaged, the same on every home."""

from contextlib import closing

import pytest

from adapters_store.bucket import Listed
from adapters_store.journal import ENTRIES, SNAPSHOTS
from adapters_store.log_store import LogStore
from adapters_store.store_errors import CorruptLog
from tests.adapters_store.homes import Home


def test_a_store_opened_again_holds_the_same(filled: LogStore, home: Home) -> None:
    filled.delete_task("cat")
    filled.publish("dog", b"one")
    with closing(home.open()) as again:
        assert again.snapshot() == filled.snapshot()


def test_snapshots_shorten_the_way_to_the_same_state(home: Home) -> None:
    with closing(LogStore(home.bucket(), snapshot_every=2)) as store:
        for number in range(7):
            store.publish("cat", str(number).encode())
        store.delete_task("cat")
        store.publish("dog", b"one")
    with closing(home.bucket()) as bucket:
        for generation in range(1, 9):  # what the newest snapshot stands for
            bucket.delete(f"{ENTRIES}/{generation:012d}.json")
    with closing(home.open()) as again:
        assert again.snapshot() == store._journal.seen


def test_a_damaged_snapshot_is_passed_over(home: Home) -> None:
    with closing(LogStore(home.bucket(), snapshot_every=2)) as store, closing(home.bucket()) as bucket:
        for number in range(4):
            store.publish("cat", str(number).encode())
        newest = max(item.name for item in bucket.list(SNAPSHOTS))
        bucket.delete(newest)
        bucket.create(newest, b'{"generation": 4}')
        with closing(home.open()) as again:
            assert again.snapshot() == store.snapshot()


def test_a_snapshot_that_vanishes_while_it_is_looked_for_is_passed_over(home: Home) -> None:
    bucket = home.bucket()
    with closing(LogStore(bucket, snapshot_every=1)) as store:
        store.publish("cat", b"one")
        bucket.delete(f"{SNAPSHOTS}/{1:012d}.json")
        listed = [Listed(f"{SNAPSHOTS}/{1:012d}.json", 0.0)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bucket, "list", lambda _: listed)
            assert LogStore(bucket).snapshot() == store.snapshot()


@pytest.mark.parametrize("entry", [b"", b"{}", b"\xff", b"[]", b'{"generation":NaN}'])
def test_a_damaged_log_entry_is_never_passed_over(filled: LogStore, home: Home, entry: bytes) -> None:
    with closing(home.bucket()) as bucket:
        bucket.create(f"{ENTRIES}/{3:012d}.json", entry)
    with pytest.raises(CorruptLog):
        filled.snapshot()
    with pytest.raises(CorruptLog):
        filled.publish("cat", b"three")


def test_an_entry_under_another_number_is_corrupt(filled: LogStore, home: Home) -> None:
    with closing(home.bucket()) as bucket:
        bucket.create(f"{ENTRIES}/{3:012d}.json", bucket.get(f"{ENTRIES}/{2:012d}.json") or b"")
    with pytest.raises(CorruptLog, match="says it is entry 2"):
        filled.changes(0)
