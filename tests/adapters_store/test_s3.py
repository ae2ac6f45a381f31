"""A store in S3, against a real server: lost answers, refusals, racing writers, ten thousand tasks, and maintenance."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import digest, maintenance, open_store
from adapters_store.backend import BLOBS
from adapters_store.errors import NotEmpty, StaleGeneration
from adapters_store.events import Change, VersionAdded, encode_change
from adapters_store.log import snapshot_name
from adapters_store.recovery import entry_name
from adapters_store.state import State, apply, encode_state
from adapters_store.store import blob_name
from tests.s3_server import S3, server

TASKS = 10_000


@pytest.fixture(scope="module")
def s3() -> S3:
    return server()


@pytest.fixture
def url(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty store, for the environment that finds it."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    yield s3.prefix()
    s3.delay(0)


@pytest.mark.parametrize("kind", ["lose", "refuse"])
def test_an_answer_that_is_lost_or_refused_is_asked_for_again(s3: S3, url: str, kind: str) -> None:
    with closing(open_store(url)) as store:
        for number, (method, times) in enumerate([("PUT", 1), ("PUT", 2), ("GET", 2)]):
            s3.spoil(kind, times, method)
            seen = store.snapshot().task_generation("cat")
            published = store.publish("cat", f"{number}".encode(), expected_generation=seen)
            assert (published.created, published.version.version) == (True, number + 1)
        s3.spoil(kind, 1)
        generation = store.move_alias("cat", "live", {1: 1}, expected_generation=3)
        assert (generation, store.snapshot().generation) == (4, 4)
        assert [change.generation for change in store.changes(0)] == [1, 2, 3, 4]


def test_of_two_writers_in_processes_of_their_own_each_change_is_kept(url: str) -> None:
    code = (
        "import sys; from adapters_store import open_store; store = open_store(sys.argv[1])\n"
        "for turn in range(20): print(store.publish('cat', f'{sys.argv[2]}-{turn}'.encode()).version.version)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, url, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    answers = [int(line) for writer in writers for line in writer.communicate(timeout=120)[0].split()]
    assert sorted(answers) == list(range(1, 41))


def test_of_two_writers_who_saw_the_same_generation_one_is_refused(url: str) -> None:
    with closing(open_store(url)) as one, closing(open_store(url)) as two, ThreadPoolExecutor(2) as pool:
        for turn in range(10):
            seen = one.snapshot().task_generation("cat")
            asked = [
                pool.submit(store.publish, "cat", f"{turn}-{number}".encode(), expected_generation=seen)
                for number, store in enumerate((one, two))
            ]
            refusals = [future.exception() for future in asked]
            assert sorted(isinstance(refusal, StaleGeneration) for refusal in refusals) == [False, True]


def many(tasks: int, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The objects of a store with so many tasks, each of one version of the same bytes under a name of its own."""
    state, snapshots = State(), []
    for number in range(1, tasks + 1):
        name = blob_name(digest(data), number - 1)
        event = VersionAdded(f"task-{number}", 1, digest(data), len(data), name, "live")
        change = Change(number, 1.0, "0" * 16, event, state.head)
        state = apply(state, change)
        yield name, data
        yield entry_name(number), encode_change(change)
        if number % 100 == 0:
            snapshots.append((number, state))
    for number, snapshot in snapshots[-2:]:  # as a sweep leaves them
        yield snapshot_name(number), encode_state(snapshot)


def test_ten_thousand_tasks_are_listed_with_few_requests(s3: S3, url: str) -> None:
    s3.fill(url, many(TASKS, b"the same"))
    before, start = sum(s3.requests().values()), time.monotonic()
    with closing(open_store(url)) as store:
        assert len(store.snapshot().tasks) == TASKS
        assert sum(s3.requests().values()) - before < 40  # pages of a thousand names, a snapshot, the last entries
        assert time.monotonic() - start < 20
        assert store.publish("one-more", b"new").generation == TASKS + 1
        assert store.read(digest(b"the same")) == b"the same"
        assert store.sweep(older_than=0) == 0  # it lists all blobs, in pages as well
        assert len(store.snapshot().tasks) == TASKS + 1


@pytest.mark.parametrize("other", ["{0}/store.db", "file://{0}/store", "s3"])
def test_a_store_goes_to_any_place_and_comes_back(s3: S3, url: str, other: str, tmp_path: Path) -> None:
    there = s3.prefix() if other == "s3" else other.format(tmp_path)
    with closing(open_store(url)) as store:
        for number in range(5):
            store.publish("cat", f"{number}".encode())
        assert maintenance.copy(url, there).sound
        assert maintenance.verify(url, there).sound
        store.publish("cat", b"later")  # a store goes on after its copy was made
        assert maintenance.verify(url, there).sound
        assert not maintenance.verify(there, url).sound
        back = s3.prefix()
        assert maintenance.copy(there, back).generation == 5
        assert maintenance.backup(url, tmp_path / "backup").generation == 6
        assert maintenance.restore(tmp_path / "backup", s3.prefix()).generation == 6
        with pytest.raises(NotEmpty):
            maintenance.copy(there, url)
        with pytest.raises(NotEmpty):
            maintenance.restore(tmp_path / "backup", url)


def test_a_copy_taken_while_others_publish_is_whole(s3: S3, url: str) -> None:
    with closing(open_store(url)) as store, ThreadPoolExecutor(1) as pool:
        store.publish("cat", b"0")

        def publish() -> None:
            for number in range(1, 30):
                store.publish("cat", f"{number}".encode())
                store.delete_version("cat", number)
                store.sweep(older_than=-60)

        done = pool.submit(publish)
        while not done.done():
            copied = s3.prefix()
            assert maintenance.copy(url, copied).sound
            assert maintenance.verify(url, copied).sound
        done.result()


def test_a_version_that_rots_is_named_and_mended(s3: S3, url: str) -> None:
    with closing(open_store(url)) as store:
        blob = store.publish("cat", b"one").version.blob
        assert blob.startswith(BLOBS)
        s3.fill(url, [(blob, b"rotten")])
        assert [fault.where for fault in maintenance.check(url).blobs] == ["cat version 1"]
        store.publish("cat", b"one")
        assert maintenance.check(url).sound
