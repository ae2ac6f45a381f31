"""If the engine's thread dies, hangs or outlives a drain, no request waits for ever, and the owner is told."""

import asyncio
import threading
import weakref

import pytest

from adapters_store import TaskAdapter
from service.engine import Draining, EngineDown, EngineLost, Limits, Row
from service.engine.worker import Worker
from tests.service.engine.gate import PATIENCE, Ask, Gate, Picture, classes, occupy, queue, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("error", [SystemExit("told to go"), EngineLost("the device is gone")], ids=["exit", "lost"])
async def test_a_dead_thread_fails_all_who_wait_and_is_reported_once(
    gate: Gate, rows: Ask, error: BaseException
) -> None:
    deaths: list[BaseException] = []
    gate.error = error
    async with serving(gate, on_death=deaths.append) as batcher:
        waiting = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(1, 2))]
        gate.opened.set()
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(failure) for failure in failures] == [EngineDown, EngineDown]
        assert deaths == [error]
        assert not batcher.healthy
        with pytest.raises(EngineDown):
            await batcher.submit(rows(0))
        assert not await batcher.drain(PATIENCE)
    assert len(gate.batches) == 1


async def test_an_idle_thread_holds_no_weights(gate: Gate, adapters: list[TaskAdapter], pixels: Picture) -> None:
    gate.opened.set()
    freed = threading.Event()
    async with serving(gate) as batcher:
        resident = gate.engine.admit(adapters[0], "a")
        weakref.finalize(resident, freed.set)
        await batcher.submit([Row(resident, pixels(0))])
        gate.engine.evict("a")
        gate.batches.clear()
        del resident
        assert await asyncio.to_thread(freed.wait, PATIENCE)


async def test_an_engine_that_hangs_is_as_good_as_dead(gate: Gate, rows: Ask) -> None:
    deaths: list[BaseException] = []
    async with serving(gate, Limits(stall_seconds=0.05), on_death=deaths.append) as batcher:
        with pytest.raises(EngineDown):
            await batcher.submit(rows(0))
        assert not batcher.healthy
        assert isinstance(deaths[0], TimeoutError)
        gate.opened.set()  # it comes back: too late, and harmless
    assert len(deaths) == 1


async def test_while_somebody_waits_the_watch_goes_on(gate: Gate, rows: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = threading.Semaphore(0)

    def young(_: Worker) -> float:
        looks.release()
        return 0.0

    monkeypatch.setattr(Worker, "overdue_for", young)
    async with serving(gate, Limits(stall_seconds=0.01)) as batcher:
        waiting = await occupy(batcher, gate, rows(0))
        for _ in range(3):
            assert await asyncio.to_thread(looks.acquire, timeout=PATIENCE)
        assert batcher.healthy
        gate.opened.set()
        assert classes([await waiting]) == [2]


async def test_death_while_draining_is_not_a_clean_end(gate: Gate, rows: Ask) -> None:
    gate.error = SystemExit()
    async with serving(gate) as batcher:
        waiting = await occupy(batcher, gate, rows(0))
        drained = asyncio.create_task(batcher.drain(PATIENCE))
        await asyncio.sleep(0)
        gate.opened.set()
        with pytest.raises(EngineDown):
            await waiting
        assert not await drained


async def test_what_a_drain_cannot_finish_in_time_fails_and_is_not_computed(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        waiting = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(1))]
        assert not await batcher.drain(0.01)
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(failure) for failure in failures] == [Draining, Draining]
    assert len(gate.batches) == 1


@pytest.mark.parametrize("limit", ["queue_images", "batch_images", "stall_seconds"])
def test_limits_must_be_positive(limit: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        Limits(**{limit: 0})
