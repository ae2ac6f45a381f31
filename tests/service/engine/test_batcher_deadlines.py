"""Requests that would be late are refused early, with the time to retry; all are answered exactly once."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine import Batcher, DeadlineExceeded, Engine, Limits, QueueFull, Row, RowResult, TooMuchAhead
from service.engine.worker import Pace
from tests.service.engine.gate import PATIENCE, Ask, Gate, Pending, Picture, occupy, queue, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a second an image, and one more a batch, had been measured."""
    monkeypatch.setattr(Pace, "seconds", lambda _, images, batches=1: images + batches)


@pytest.mark.usefixtures("slow")
async def test_what_cannot_be_in_time_is_refused_at_once_and_told_when_to_come_back(gate: Gate, rows: Ask) -> None:
    async with serving(gate, Limits(batch_images=2)) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), *[await queue(batcher, rows(1)) for _ in range(5)]]
        ahead = 2 + 5 + 3 + 1  # the batch under way, five and itself, in three batches
        start = time.monotonic()
        with pytest.raises(TooMuchAhead) as refused:
            await batcher.submit(rows(1), deadline=start + ahead - 5)
        assert time.monotonic() - start < 1
        assert refused.value.retry_after in (5, 6)
        in_time = asyncio.create_task(batcher.submit(rows(1), deadline=start + PATIENCE))
        light = asyncio.create_task(batcher.submit(rows(2), deadline=start + 6))  # one turn of the crowd, not all
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*tasks, in_time, light)


@pytest.mark.usefixtures("slow")
async def test_who_is_next_is_never_refused_whatever_the_model_says(gate: Gate, rows: Ask) -> None:
    gate.opened.set()
    async with serving(gate) as batcher:
        assert len(await batcher.submit(rows(0), deadline=time.monotonic() + 1)) == 1


@pytest.mark.usefixtures("slow")
async def test_a_full_queue_tells_when_there_will_be_room(gate: Gate, rows: Ask) -> None:
    async with serving(gate, Limits(queue_images=4)) as batcher:
        tasks = [await occupy(batcher, gate, rows(0)), await queue(batcher, rows(1, 2, 3, 4))]
        with pytest.raises(QueueFull) as refused:
            await batcher.submit(rows(5, 6, 7))
        assert refused.value.retry_after in (6, 5)  # two of the batch under way, four for three of those that wait
        gate.opened.set()
        await asyncio.gather(*tasks)


async def test_a_row_that_a_batch_leaves_out_is_answered_before_the_batch_is(
    gate: Gate, rows: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(gate) as batcher:
        first = await occupy(batcher, gate, rows(0))
        others = await queue(batcher, rows(1))
        hopeless = asyncio.create_task(batcher.submit(rows(2, 2), deadline=time.monotonic() + PATIENCE, priority=9))
        await asyncio.sleep(0)
        monkeypatch.setattr(Pace, "seconds", lambda _, images, batches=1: 10 * PATIENCE * (images > 1))
        gate.opened.set()
        with pytest.raises(DeadlineExceeded, match="pace"):
            await hopeless
        await asyncio.gather(first, others)
        assert [len(batch) for batch in gate.batches] == [1, 1]
        assert batcher.queued == 0


class Request:
    """One request of the property test, drawn by hypothesis: tasks and images of its rows, and what becomes of it."""

    def __init__(self, drawn: tuple[list[tuple[int, int]], int, float | None, str]) -> None:
        self.places, self.priority, self.patience, self.exit = drawn


def leave(asked: Sequence[Request], waiting: Sequence[Pending], when: str) -> None:
    """Have those cancelled that leave at this moment."""
    for request, task in zip(asked, waiting, strict=True):
        if request.exit == when:
            task.cancel()


REQUESTS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=1, max_size=5),
        st.integers(1, 9),
        st.sampled_from([None, 0.0001, PATIENCE]),
        st.sampled_from(["stays", "stays", "leaves queued", "leaves in flight"]),
    ).map(Request),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=REQUESTS, budget=st.integers(1, 5))
def test_whatever_mix_comes_in_whatever_order_all_answers_are_those_of_a_row_alone(
    engine: Engine, rows: Ask, pixels: Picture, asked: list[Request], budget: int
) -> None:
    tasks = [row.resident for row in rows(*range(8))]
    images = [pixels(number) for number in range(3)]
    settled: list[int] = []

    async def ask() -> Sequence[list[RowResult] | BaseException]:
        gate = Gate(engine)
        async with serving(gate, Limits(batch_images=budget)) as batcher:
            first = await occupy(batcher, gate, rows(0))
            waiting = [asyncio.create_task(one(batcher, request)) for request in asked]
            await asyncio.sleep(0)
            for number, task in enumerate(waiting):
                task.add_done_callback(lambda _, number=number: settled.append(number))  # type: ignore[misc]
            leave(asked, waiting, "leaves queued")
            gate.opened.set()
            await first
            leave(asked, waiting, "leaves in flight")
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert batcher.queued == 0
            return found

    async def one(batcher: Batcher, request: Request) -> list[RowResult]:
        deadline = None if request.patience is None else time.monotonic() + request.patience
        places = [Row(tasks[task], images[image].copy()) for task, image in request.places]
        return await batcher.submit(places, deadline=deadline, priority=request.priority)

    found = asyncio.run(ask())
    assert sorted(settled) == list(range(len(asked)))
    for request, results in zip(asked, found, strict=True):
        if isinstance(results, BaseException):
            assert request.exit != "stays" or request.patience == 0.0001, results
            continue
        for (task, image), result in zip(request.places, results, strict=True):
            alone = engine.run([Row(tasks[task], images[image])])[0]
            np.testing.assert_allclose(result.logits, alone.logits, atol=1e-5)
            assert result.flops_spent + result.flops_shared == alone.flops_spent
