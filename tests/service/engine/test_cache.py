"""Contents are held once, within the budget, and evicted weights live for as long as a row needs them."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters_store import TaskAdapter
from service.engine import Cost, Resident
from service.engine.cache import Cache
from service.engine.weights import resident_of


@pytest.fixture
def contents(adapters: list[TaskAdapter]) -> list[Resident]:
    """Twelve contents of the same size."""
    return [content(adapters[0], f"{number}") for number in range(12)]


@pytest.fixture
def size(contents: list[Resident]) -> int:
    return contents[0].nbytes


def content(adapter: TaskAdapter, name: str) -> Resident:
    return resident_of(adapter, name, Cost(1, 0))


def put(cache: Cache, resident: Resident, *, evicting: bool = True) -> tuple[Resident, bool]:
    return cache.load(resident.sha256, lambda: resident, evicting=evicting)


def held(cache: Cache) -> tuple[int, int]:
    usage = cache.usage()
    return usage.tasks, usage.nbytes


def lingering(cache: Cache) -> int:
    return sum(resident.nbytes for resident in cache.lingering())


def test_one_content_is_held_once(adapters: list[TaskAdapter], contents: list[Resident]) -> None:
    cache, first = Cache(), contents[0]
    second = content(adapters[0], first.sha256)
    assert put(cache, first) == (first, True)
    assert put(cache, second) == (first, True)
    assert cache.get(first.sha256) is first
    assert held(cache) == (1, first.nbytes)
    assert lingering(cache) == 0


def test_what_is_here_is_not_read_again(contents: list[Resident]) -> None:
    cache = Cache()
    put(cache, contents[0])

    def read() -> Resident:
        raise AssertionError("it is here")

    assert cache.load("0", read) == (contents[0], True)


def test_a_read_that_fails_leaves_nothing_behind(contents: list[Resident]) -> None:
    cache = Cache()

    def read() -> Resident:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        cache.load("0", read)
    assert held(cache) == (0, 0)
    assert put(cache, contents[0]) == (contents[0], True)


def test_evicting_says_how_many_bytes_go(contents: list[Resident], size: int) -> None:
    cache = Cache()
    put(cache, contents[0])
    assert [cache.evict("0"), cache.evict("0")] == [size, 0]
    del contents[0]
    assert cache.get("0") is None


def test_evicted_weights_are_counted_until_the_last_row_lets_go(adapters: list[TaskAdapter]) -> None:
    cache = Cache()
    row, _ = put(cache, content(adapters[0], "a"))
    cache.evict("a")
    assert (held(cache), lingering(cache)) == ((0, 0), row.nbytes)
    del row
    assert (held(cache), lingering(cache)) == ((0, 0), 0)


def test_what_is_in_flight_comes_back_by_a_pointer(contents: list[Resident], size: int) -> None:
    cache = Cache(2 * size)
    for each in contents[:3]:
        put(cache, each)
    assert cache.usage().evictions == 1
    assert cache.get("0") is contents[0]
    assert held(cache) == (2, 2 * size)
    assert lingering(cache) == size  # what went for it


def test_what_is_loaded_ahead_takes_only_room_that_is_free(contents: list[Resident], size: int) -> None:
    cache = Cache(3 * size)
    kept = [put(cache, each, evicting=False)[1] for each in contents[:5]]
    assert kept == [True, True, True, False, False]
    assert cache.usage().evictions == 0


def test_a_content_too_large_for_the_budget_still_answers(contents: list[Resident]) -> None:
    cache = Cache(1)
    assert put(cache, contents[0]) == (contents[0], False)
    assert cache.get("0") is contents[0]  # while somebody holds it
    assert held(cache) == (0, 0)


def test_what_is_pinned_stays(contents: list[Resident], size: int) -> None:
    cache = Cache(2 * size)
    cache.pin({"0"})
    for each in contents:
        put(cache, each)
    assert cache.peek("0") is contents[0]
    assert cache.usage().pinned == 1


def test_hits_and_misses_are_counted(contents: list[Resident]) -> None:
    cache = Cache()
    put(cache, contents[0])
    for name in ("0", "1", "1"):
        cache.get(name)
    cache.peek("0")
    assert (cache.usage().hits, cache.usage().misses) == (1, 2)


def test_threads_may_do_anything_at_once_and_the_books_are_right(adapters: list[TaskAdapter]) -> None:
    sizes = {f"{number}": content(adapters[number % 8], "").nbytes for number in range(16)}
    budget = 3 * max(sizes.values())
    cache = Cache(budget)

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(300):
            name = f"{dice.randrange(16)}"
            adapter = adapters[int(name) % 8]
            match dice.randrange(8):
                case 0:
                    cache.evict(name)
                case 1:
                    put(cache, content(adapter, name), evicting=False)
                case 2:
                    cache.usage()
                case _:
                    found = cache.get(name) or put(cache, content(adapter, name))[0]
                    assert found.sha256 == name
                    assert len(found.head[1]) == len(adapter.head_bias)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    names = [name for name in sizes if cache.peek(name)]
    assert held(cache) == (len(names), sum(sizes[name] for name in names))
    assert held(cache)[1] <= budget
