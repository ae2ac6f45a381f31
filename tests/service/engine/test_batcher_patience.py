"""A request that is cancelled or too late frees its place, and does not affect others."""

import asyncio
import gc
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine import DeadlineExceeded, Engine, Limits, RowResult
from service.engine.queueing import Request
from tests.service.engine.gate import PATIENCE, Ask, Gate, classes, occupy, queue, serving

pytestmark = pytest.mark.anyio


async def test_cancelling_one_of_three_frees_its_place_and_answers_the_others(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        first = await occupy(batcher, gate, rows(0))
        waiting = [await queue(batcher, rows(task)) for task in (1, 2, 3)]
        waiting[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]
        assert batcher.queued == 2
        gate.opened.set()
        results = await asyncio.gather(first, waiting[0], waiting[2])
        assert classes(results) == [2, 5, 11]
        assert [len(batch) for batch in gate.batches] == [1, 2]


async def test_cancelling_in_flight_harms_no_batch_mate(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        first = await occupy(batcher, gate, rows(0))
        waiting = [await queue(batcher, rows(task)) for task in (1, 2, 3)]
        first.cancel()
        gate.opened.set()
        assert await asyncio.to_thread(gate.reached.acquire, timeout=PATIENCE)
        waiting[0].cancel()
        assert classes(await asyncio.gather(*waiting[1:])) == [8, 11]
        assert batcher.healthy


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=5), min_size=1, max_size=10),
    lost=st.sets(st.integers(0, 9)),
)
def test_whoever_gives_up_the_others_get_their_answers(
    engine: Engine, rows: Ask, asked: list[list[int]], lost: set[int]
) -> None:
    alone = [result.logits for result in engine.run(rows(*range(8)))]

    async def answers() -> list[list[RowResult] | BaseException]:
        gate = Gate(engine)
        async with serving(gate, Limits(batch_images=4)) as batcher:
            await occupy(batcher, gate, rows(0))
            waiting = [await queue(batcher, rows(*tasks)) for tasks in asked]
            for index in lost & set(range(len(asked))):
                waiting[index].cancel()
            gate.opened.set()
            return await asyncio.gather(*waiting, return_exceptions=True)

    for index, results in enumerate(asyncio.run(answers())):
        if isinstance(results, BaseException):
            assert index in lost
            continue
        for task, result in zip(asked[index], results, strict=True):
            np.testing.assert_allclose(result.logits, alone[task], atol=1e-5)


def requests() -> int:
    """The number of requests that are alive."""
    gc.collect()
    return sum(type(each) is Request for each in gc.get_objects())


async def test_ten_thousand_who_give_up_leave_nothing_behind(gate: Gate, rows: Ask) -> None:
    asked = rows(1)
    before = requests()
    async with serving(gate) as batcher:
        first = await occupy(batcher, gate, rows(0))
        for _ in range(100):
            waiting = [await queue(batcher, asked) for _ in range(100)]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert batcher.queued == 0
        del task, waiting
        await asyncio.sleep(0)  # this very step of the loop holds the last results
        assert requests() <= before + 1  # the one being computed
        gate.opened.set()
        assert classes([await first]) == [2]


async def test_a_deadline_that_passes_in_the_queue_is_answered_then_and_never_computed(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        first = await occupy(batcher, gate, rows(0))
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(1), deadline=time.monotonic() + 0.01)
        assert batcher.queued == 0
        gate.opened.set()
        await first
        await batcher.submit(rows(2))
        assert [len(row.resident.head[1]) for batch in gate.batches for row in batch] == [2, 8]


async def test_a_deadline_already_past_is_refused(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(0), deadline=time.monotonic())
        assert not gate.batches


async def test_a_deadline_that_leaves_time_changes_nothing(gate: Gate, rows: Ask) -> None:
    gate.opened.set()
    async with serving(gate) as batcher:
        assert len(await batcher.submit(rows(0), deadline=time.monotonic() + PATIENCE)) == 1
