"""The simulation obeys the laws of queues, and agrees with the formulas where these are exact."""

from dataclasses import replace
from math import isclose

import pytest

from benchmarks.scaling.model import Shape, Times, hit_rate, zipf
from benchmarks.scaling.simulation import Load, Memory, simulate

TIMES = Times(image=0.002, batch=0.002, front=0.001)
ONE_CORE, TWO_CORES = Shape(TIMES), Shape(TIMES, shared=False)


def close(found: float, expected: float, share: float = 0.05) -> bool:
    return isclose(found, expected, rel_tol=share)


@pytest.mark.parametrize("shape", [ONE_CORE, TWO_CORES])
def test_one_client_gets_the_bare_times(shape: Shape) -> None:
    found = simulate(shape, Load(20.0, clients=1))
    assert close(found.percentile(0.5), 0.005, 0.001)
    assert close(found.per_second(20.0), 200.0, 0.01)
    assert found.mean_batch == 1.0


def test_a_front_that_sleeps_costs_more_and_a_busy_one_does_not() -> None:
    times = replace(TIMES, wake=0.001)
    alone, busy = (simulate(Shape(times), Load(20.0, clients=count)) for count in (1, 200))
    assert close(alone.percentile(0.5), 0.006, 0.001)
    assert close(alone.woken / alone.asked, 1.0, 0.01)
    assert busy.woken / busy.asked < 0.1
    assert close(busy.per_second(20.0), ONE_CORE.limit, 0.1)


def test_requests_come_when_they_are_due() -> None:
    found = simulate(ONE_CORE, Load(1.0, warmup=0.5, due=(0.2, 0.6, 0.6, 1.0)))
    assert found.latencies == pytest.approx([0.006, 0.0095, 0.005], abs=0.002)  # the first does not count
    assert found.asked == 3


@pytest.mark.parametrize("shape", [ONE_CORE, TWO_CORES])
def test_saturated_with_full_batches_it_reaches_its_limit(shape: Shape) -> None:
    found = simulate(shape, Load(20.0, clients=200))
    assert close(found.mean_batch, 16.0)
    assert close(found.per_second(20.0), shape.limit)


def test_an_engine_alone_without_batches_is_the_known_queue() -> None:
    alone = Shape(Times(image=0.01, batch=0.0, front=0.0), shared=False, most=1)
    found = simulate(alone, Load(2000.0, rate=50.0))
    wait = 0.5 * 0.01 / (2 * (1 - 0.5))  # of an M/D/1 queue at half its limit (Pollaczek and Khinchine)
    assert close(sum(found.latencies) / len(found.latencies), 0.01 + wait)


def test_what_comes_is_answered_and_littles_law_holds() -> None:
    found = simulate(ONE_CORE, Load(200.0, rate=150.0))
    assert close(found.per_second(200.0), 150.0)
    assert sum(found.batches) == pytest.approx(len(found.latencies), abs=50)


@pytest.mark.parametrize("shape", [ONE_CORE, TWO_CORES])
@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_the_formulas_are_near_the_simulation_below_the_limit(shape: Shape, busy: float) -> None:
    rate = busy * shape.limit
    found = simulate(shape, Load(200.0, rate=rate))
    assert close(sum(found.latencies) / len(found.latencies), shape.latency(rate), 0.25)


def test_two_replicas_answer_twice_as_much() -> None:
    one, two = (simulate(ONE_CORE, Load(20.0, clients=32 * count), replicas=count) for count in (1, 2))
    assert close(two.per_second(20.0) / one.per_second(20.0), 2.0, 0.02)


def test_waiting_for_a_fuller_batch_makes_answers_later() -> None:
    load = Load(100.0, rate=0.6 * ONE_CORE.limit)
    at_once, waiting = (simulate(ONE_CORE, load, window=window) for window in (0.0, 0.01))
    assert waiting.mean_batch > at_once.mean_batch
    assert waiting.percentile(0.5) > at_once.percentile(0.5)


def test_a_memory_keeps_what_the_approximation_says() -> None:
    memory = Memory(tasks=2000, skew=0.9, device=200, from_store=0.0)
    found = simulate(ONE_CORE, Load(300.0, rate=100.0), memory=memory)
    missed = 1 - hit_rate(zipf(2000, 0.9), 200)
    assert close(found.from_store / found.asked, missed, 0.05)


def test_tiers_are_asked_in_order_and_a_load_delays_its_request() -> None:
    memory = Memory(tasks=500, skew=0.0, device=100, host=500, from_host=0.05)
    found = simulate(TWO_CORES, Load(60.0, rate=50.0), memory=memory)
    assert found.from_store == 0
    assert close(found.from_host / found.asked, 0.8)
    assert found.percentile(0.9) > 0.05
    fast = simulate(TWO_CORES, Load(60.0, rate=50.0), memory=Memory(tasks=500, skew=0.0, device=500))
    assert (fast.from_host, fast.from_store) == (0, 0)
    assert fast.percentile(0.9) < 0.05
