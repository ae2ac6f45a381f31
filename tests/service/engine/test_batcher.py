"""Batches fill while the engine is busy; nobody's haste, exit or poison touches a batch-mate."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from service.engine import (
    HIGHEST_PRIORITY,
    Batcher,
    Draining,
    EngineDown,
    Exemplars,
    Limits,
    QueueFull,
    RequestTooLarge,
    Row,
    RowFailed,
)
from tests.service.engine.gate import PATIENCE, Ask, Gate, classes, occupy, queue, serving

pytestmark = pytest.mark.anyio


async def test_an_idle_engine_answers_at_once(gate: Gate, rows: Ask) -> None:
    gate.opened.set()
    async with serving(gate) as batcher:
        (result,) = await batcher.submit(rows(3))
        assert np.array_equal(result.logits, gate.engine.run(rows(3))[0].logits)
        assert [len(batch) for batch in gate.batches] == [1]


async def test_a_busy_engine_finds_its_next_batch_filled_from_many_requests(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), *[await queue(batcher, rows(task)) for task in range(5)]]
        assert batcher.queued == 5
        gate.opened.set()
        results = await asyncio.gather(*tasks)
        assert [len(batch) for batch in gate.batches] == [1, 5]
        assert classes(results) == [2, 2, 5, 8, 11, 14]


async def test_a_request_larger_than_a_batch_is_split_and_comes_back_in_order(gate: Gate, rows: Ask) -> None:
    gate.opened.set()
    asked = rows(4, 0, 2, 0, 1, 4, 3)
    async with serving(gate, Limits(batch_images=3)) as batcher:
        results = await batcher.submit(asked)
        assert [len(batch) for batch in gate.batches] == [3, 3, 1]
    for row, result in zip(asked, results, strict=True):
        np.testing.assert_allclose(result.logits, gate.engine.run([row])[0].logits, atol=1e-5)


async def test_a_crowded_task_leaves_the_others_their_turn(gate: Gate, rows: Ask) -> None:
    async with serving(gate, Limits(batch_images=4)) as batcher:
        tasks = [
            await occupy(batcher, gate, rows(0)),
            await queue(batcher, rows(*[0] * 12)),
            await queue(batcher, rows(1)),
        ]
        gate.opened.set()
        await asyncio.gather(*tasks)
        assert [len(row.resident.head[1]) for row in gate.batches[1]].count(5) == 1


async def test_no_rows_are_answered_by_no_results(gate: Gate) -> None:
    async with serving(gate) as batcher:
        assert await batcher.submit([]) == []


async def test_the_queue_takes_exactly_its_limit(gate: Gate, rows: Ask) -> None:
    async with serving(gate, Limits(queue_images=3)) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(1, 2))]
        with pytest.raises(QueueFull):
            await batcher.submit(rows(3, 4))  # all or none
        tasks.append(await queue(batcher, rows(5)))
        with pytest.raises(QueueFull):
            await batcher.submit(rows(6))
        gate.opened.set()
        assert [len(results) for results in await asyncio.gather(*tasks)] == [1, 2, 1]


async def test_rows_that_are_being_prepared_hold_their_places(gate: Gate, rows: Ask) -> None:
    async with serving(gate, Limits(queue_images=3)) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(1))]
        with batcher.coming(2), pytest.raises(QueueFull), batcher.coming(1):
            pass
        with batcher.coming(1):  # those before have gone, and so has the one that was refused
            tasks.append(await queue(batcher, rows(2)))
        with pytest.raises(RequestTooLarge), batcher.coming(4):
            pass
        gate.opened.set()
        await asyncio.gather(*tasks)
    with pytest.raises(Draining), batcher.coming(1):
        pass


async def test_a_request_that_could_never_fit_is_refused_as_such(gate: Gate, rows: Ask) -> None:
    gate.opened.set()
    async with serving(gate, Limits(queue_images=3)) as batcher:
        assert len(await batcher.submit(rows(0, 0, 0))) == 3
        with pytest.raises(RequestTooLarge):
            await batcher.submit(rows(0, 0, 0, 0))


async def test_a_poison_row_fails_its_own_request_only(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        first = await occupy(batcher, gate, rows(0))
        good = [await queue(batcher, rows(task)) for task in (1, 2)]
        (row,) = rows(3)
        poisoned = await queue(batcher, [Row(row.resident, row.pixels[:5]), row])
        gate.opened.set()
        results = await asyncio.gather(first, *good)
        assert classes(results) == [2, 5, 8]
        with pytest.raises(RowFailed):
            await poisoned
        assert batcher.healthy


async def test_stats_hear_of_every_batch_and_how_long_its_rows_waited(gate: Gate, rows: Ask) -> None:
    heard: list[tuple[int, int]] = []
    times: list[tuple[float, Sequence[float]]] = []

    class Heard:
        def on_batch(
            self, images: int, tasks: int, seconds: float, waits: Sequence[float], exemplars: Exemplars | None
        ) -> None:
            heard.append((images, tasks))
            times.append((seconds, waits))

    async with serving(gate, stats=Heard()) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(0, 0, 1))]
        gate.opened.set()
        await asyncio.gather(*tasks)
    assert heard == [(1, 1), (3, 2)]
    assert all(seconds > 0 for seconds, _ in times)
    assert [len(waits) for _, waits in times] == [1, 3]
    assert min(times[1][1]) > 0


async def test_before_start_nothing_is_taken(gate: Gate, rows: Ask) -> None:
    batcher = Batcher(gate)
    assert not batcher.healthy
    with pytest.raises(EngineDown):
        await batcher.submit(rows(0))
    assert await batcher.drain(0.0)


async def test_the_draining_batcher_answers_what_waits_and_refuses_the_rest(gate: Gate, rows: Ask) -> None:
    async with serving(gate) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(1))]
        drained = asyncio.create_task(batcher.drain(PATIENCE))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await batcher.submit(rows(2))
        healthy = batcher.healthy
        gate.opened.set()
        assert classes(await asyncio.gather(*tasks)) == [2, 5]
        assert await drained
        assert (healthy, batcher.healthy) == (True, False)
        with pytest.raises(Draining):
            await batcher.submit(rows(2))


async def test_a_higher_priority_is_computed_first(gate: Gate, rows: Ask) -> None:
    async with serving(gate, Limits(batch_images=1)) as batcher:
        first = await occupy(batcher, gate, rows(0))
        usual = await queue(batcher, rows(1))
        urgent = asyncio.create_task(batcher.submit(rows(2), priority=HIGHEST_PRIORITY))
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, usual, urgent)
        assert [len(row.resident.head[1]) for (row,) in gate.batches] == [2, 8, 5]
