"""Many writers at once, in threads and in processes: nothing lost, nothing doubled, no reader ever sees a mixture."""

import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier, Event

import pytest

from adapters_store import digest
from adapters_store.errors import Conflict, NotFound, StaleGeneration
from adapters_store.state import State, apply
from adapters_store.store import Store
from tests.adapters_store.backends import LOCAL_PLACES, Place

THREADS = 8
ROUNDS = 12


def together(job: Callable[[int], object], count: int = THREADS) -> None:
    """Run a job in threads that start at the same moment; any exception of theirs is raised here."""
    barrier = Barrier(count)

    def started(number: int) -> object:
        barrier.wait(timeout=30)
        return job(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(started, range(count)))


def replayed(store: Store) -> State:
    state = State()
    for change in store.changes(0):
        state = apply(state, change)
    return state


def test_threads_publishing_to_one_task_each_get_a_version_of_their_own(place: Place) -> None:
    versions: list[int] = []
    with closing(place.open()) as one, closing(place.open()) as two:

        def publish(number: int) -> None:
            for turn in range(ROUNDS):
                published = (one, two)[number % 2].publish("cat", f"{number}-{turn}".encode())
                versions.append(published.version.version)

        together(publish)
        assert sorted(versions) == list(range(1, THREADS * ROUNDS + 1))
        assert one.snapshot() == two.snapshot() == replayed(one)


def test_of_writers_who_saw_the_same_generation_exactly_one_wins(place: Place) -> None:
    wins: list[int] = []
    with closing(place.open()) as store:

        def race(number: int) -> None:
            for turn in range(ROUNDS):
                seen = store.snapshot().task_generation("cat")
                with suppress(StaleGeneration):
                    published = store.publish("cat", f"{number}-{turn}".encode(), expected_generation=seen)
                    wins.append(published.generation)

        together(race)
        assert sorted(wins) == list(range(1, len(wins) + 1))
        assert store.snapshot().generation == len(wins) >= ROUNDS


def test_the_same_bytes_from_all_sides_are_one_version(place: Place) -> None:
    with closing(place.open()) as store:
        created: list[bool] = []
        together(lambda _: created.append(store.publish("cat", b"one").created))
        assert created.count(True) == 1
        assert store.snapshot().generation == 1


def test_a_storm_of_everything_on_one_task_leaves_a_state_that_the_log_explains(place: Place) -> None:
    with closing(place.open()) as one, closing(place.open()) as two:

        def storm(number: int) -> None:
            dice, store = random.Random(number), (one, two)[number % 2]
            for _ in range(ROUNDS):
                with suppress(Conflict, NotFound):
                    _any_request(store, dice)

        together(storm)
        state = one.snapshot()
        assert state == two.snapshot() == replayed(one)
        assert all(digest(one.read(version.sha256)) == version.sha256 for version in state.versions())


def _any_request(store: Store, dice: random.Random) -> None:
    number = dice.randrange(1, 20)
    requests: list[Callable[[], object]] = [
        lambda: store.publish("cat", str(number % 5).encode()),
        lambda: store.publish("cat", str(number).encode(), alias=None),
        lambda: store.move_alias("cat", "live", {number: 1}),
        lambda: store.delete_version("cat", number),
        lambda: store.delete_task("cat"),
        lambda: store.sweep(older_than=-60),
    ]
    dice.choice(requests)()


def test_listings_taken_at_once_are_each_complete(place: Place) -> None:
    with closing(place.backend()) as backend:
        for number in range(60):
            backend.create(f"blobs/{number:03d}", b"")
        lengths: set[int] = set()
        together(lambda _: lengths.update(len(list(backend.list("blobs"))) for _ in range(30)))
        assert lengths == {60}


def test_readers_see_each_task_whole_while_it_is_swapped(place: Place) -> None:
    stop = Event()
    with closing(place.open()) as writer, closing(place.open()) as reader:
        writer.publish("cat", b"0")

        def swap() -> None:
            try:
                for turn in range(1, 40):
                    version = writer.publish("cat", str(turn).encode()).version.version
                    writer.delete_version("cat", version - 1)
            finally:
                stop.set()

        def look(_: int) -> None:
            while not stop.is_set():
                task = reader.snapshot().tasks["cat"]
                (version,) = task.aliases["live"]
                assert reader.read(task.versions[version].sha256) == str(version - 1).encode()

        together(lambda number: look(number) if number else swap(), count=3)


PUBLISHER = """
import sys
from adapters_store import open_store

store = open_store(sys.argv[1])
for turn in range(int(sys.argv[3])):
    print(store.publish("cat", f"{sys.argv[2]}-{turn}".encode()).version.version)
"""


@pytest.mark.parametrize("kind", LOCAL_PLACES)
def test_processes_share_a_store_from_its_first_moment(kind: str, tmp_path: Path) -> None:
    url = {"sqlite": f"sqlite:///{tmp_path}/store.db", "folder": f"file://{tmp_path}/store"}[kind]
    command = [sys.executable, "-c", PUBLISHER, url]
    processes = [
        subprocess.Popen([*command, str(number), "15"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    answers = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert sorted(answers) == list(range(1, 61))
    with closing(LOCAL_PLACES[kind](tmp_path).open()) as store:
        assert store.snapshot() == replayed(store)
        assert store.snapshot().tasks["cat"].last_version == 60
