"""Contents are held once, within their budgets, and evicted weights live for as long as a row needs them."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from adapters_store import TaskAdapter
from service.engine import Budgets, Cost, Resident, Usage
from service.engine.bank import load, pack, pack_file
from service.engine.residency import Residency


@pytest.fixture
def contents(adapters: list[TaskAdapter]) -> list[Resident]:
    """Twelve contents of the same size."""
    return [load(adapters[0], f"{number}", Cost(1, 0)) for number in range(12)]


@pytest.fixture
def size(contents: list[Resident]) -> int:
    return contents[0].nbytes


def test_one_content_is_held_once(adapters: list[TaskAdapter], contents: list[Resident]) -> None:
    residency, first = Residency(), contents[0]
    second = load(adapters[0], first.sha256, Cost(1, 0))
    assert residency.put(first) is first
    assert residency.put(second) is first
    assert residency.get(first.sha256) is first
    assert residency.usage() == Usage(1, first.nbytes, 0, 0)


def test_evicting_says_how_many_bytes_go(contents: list[Resident], size: int) -> None:
    residency = Residency()
    residency.put(contents[0])
    assert [residency.evict("0"), residency.evict("0")] == [size, 0]
    del contents[0]
    assert residency.get("0") is None


def test_evicted_weights_are_counted_until_the_last_row_lets_go(adapters: list[TaskAdapter]) -> None:
    residency = Residency()
    held = residency.put(load(adapters[0], "a", Cost(1, 0)))
    residency.evict("a")
    assert residency.usage() == Usage(0, 0, 1, held.nbytes)
    del held
    assert residency.usage() == Usage(0, 0, 0, 0)


def test_what_is_in_flight_comes_back_by_a_pointer(contents: list[Resident], size: int) -> None:
    residency = Residency(Budgets(device=2 * size, host=2 * size))
    for content in contents[:3]:
        residency.put(content)
    assert residency.tiers()["device"].evictions == 1
    assert residency.get("0") is contents[0]
    assert residency.usage().tasks == 2
    assert residency.tiers()["host"].tasks == 1  # what went for it; it lies in one tier only


def test_what_goes_from_the_device_is_packed_and_comes_back_from_the_host(adapters: list[TaskAdapter]) -> None:
    size = load(adapters[0], "", Cost(1, 0)).nbytes
    residency = Residency(Budgets(device=2 * size, host=2 * size))
    for number in range(3):
        residency.put(load(adapters[0], f"{number}", Cost(1, 0)))
    assert residency.get("0") is None
    back = residency.restore("0")
    assert back is not None
    assert torch.equal(back.block, load(adapters[0], "0", Cost(1, 0)).block)
    usage = residency.tiers()
    assert [(usage[tier].tasks, usage[tier].nbytes) for tier in ("device", "host")] == [(2, 2 * size), (1, size)]
    assert residency.restore("9") is None


def test_what_is_offered_takes_only_room_that_is_free(contents: list[Resident], size: int) -> None:
    residency = Residency(Budgets(device=2 * size, host=size))
    kept = [residency.offer(pack(content))[1] for content in contents[:5]]
    assert kept == [True, True, True, False, False]
    assert [usage.evictions for usage in residency.tiers().values()] == [0, 0]


def test_a_content_too_large_for_any_budget_still_answers(contents: list[Resident]) -> None:
    residency = Residency(Budgets(device=1, host=1))
    assert residency.put(contents[0]) is contents[0]
    assert residency.get("0") is contents[0]  # while somebody holds it
    assert residency.usage().tasks == 0


def test_what_is_pinned_stays(contents: list[Resident], size: int) -> None:
    residency = Residency(Budgets(device=2 * size, host=0))
    residency.pin({"0"})
    for content in contents:
        residency.put(content)
    assert residency.peek("0") is contents[0]
    assert residency.tiers()["device"].pinned == 1


def test_hits_and_misses_are_counted_by_tier(contents: list[Resident], size: int) -> None:
    residency = Residency(Budgets(device=size, host=size))
    residency.put(contents[0])
    residency.get("0")
    residency.get("1")
    residency.restore("1")
    found = {tier: (usage.hits, usage.misses) for tier, usage in residency.tiers().items()}
    assert found == {"device": (1, 1), "host": (0, 1)}


def test_threads_may_do_anything_at_once_and_the_books_are_right(adapters: list[TaskAdapter]) -> None:
    sizes = {f"{number}": load(adapters[number % 8], "", Cost(1, 0)).nbytes for number in range(16)}
    budgets = Budgets(device=3 * max(sizes.values()), host=2 * max(sizes.values()))
    residency = Residency(budgets)

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(300):
            name = f"{dice.randrange(16)}"
            adapter = adapters[int(name) % 8]
            match dice.randrange(8):
                case 0:
                    residency.evict(name)
                case 1:
                    residency.offer(pack_file(adapter, name, Cost(1, 0)))
                case 2:
                    residency.usage()
                case _:
                    found = residency.get(name) or residency.restore(name)
                    found = found or residency.put(load(adapter, name, Cost(1, 0)))
                    assert found.sha256 == name
                    assert len(found.head[1]) == len(adapter.head_bias)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    usage = residency.tiers()
    for tier, budget in (("device", budgets.device), ("host", budgets.host)):
        assert usage[tier].nbytes <= budget
    held = [name for name in sizes if residency.peek(name)]
    assert usage["device"].nbytes == sum(sizes[name] for name in held)
    assert usage["device"].tasks == len(held)
    assert replace(residency.usage(), lingering=0, lingering_bytes=0) == Usage(len(held), usage["device"].nbytes, 0, 0)
