"""When the engine's thread dies, hangs or outlives a drain, nobody waits for ever and the owner hears of it."""

import asyncio

import pytest

from service.engine import Draining, EngineDown, EngineLost, Limits
from tests.service.engine.gate import PATIENCE, Ask, Gate, occupy, queue, serving

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


async def test_an_engine_that_hangs_is_as_good_as_dead(gate: Gate, rows: Ask) -> None:
    deaths: list[BaseException] = []
    async with serving(gate, Limits(stall_seconds=0.05), on_death=deaths.append) as batcher:
        with pytest.raises(EngineDown):
            await batcher.submit(rows(0))
        assert not batcher.healthy
        assert isinstance(deaths[0], TimeoutError)
        gate.opened.set()  # it comes back: too late, and harmless
    assert len(deaths) == 1


async def test_many_quick_batches_are_not_a_hang(gate: Gate, rows: Ask) -> None:
    gate.opened.set()
    end = asyncio.get_running_loop().time() + 0.3
    async with serving(gate, Limits(stall_seconds=0.1)) as batcher:
        while asyncio.get_running_loop().time() < end:
            await batcher.submit(rows(7))
        assert batcher.healthy


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
