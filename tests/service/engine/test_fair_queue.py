"""Any mix of requests, deadlines and exits: each row is taken once or dropped for cause, in its turn, by its price."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from adapters_store import TaskAdapter
from service.engine import Cost, Resident, Row
from service.engine.queueing import FairQueue, Item, Request
from service.engine.weights import resident_of

BUDGET = 4
SECOND = 1_000_000  # FLOPs: a batch lasts as long as its images


def row(resident: Resident, image: np.ndarray | None = None) -> Row:
    return Row(resident, np.zeros(1, np.uint8) if image is None else image)


def task(adapters: list[TaskAdapter], name: str, *, spent: int = SECOND, trunk: int = 0) -> Resident:
    return resident_of(adapters[0], name, Cost(spent, 0, trunk))


class Waiting:
    """A queue, and requests for it outside any server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.queue = loop, FairQueue()

    def ask(self, *rows: Row, deadline: float | None = None, priority: int = 5) -> Request:
        request = Request(self.loop.create_future(), len(rows), since=0.0, deadline=deadline, priority=priority)
        self.queue.put(rows, request)
        return request


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with closing(asyncio.new_event_loop()) as loop:
        yield loop


@pytest.fixture
def waiting(loop: asyncio.AbstractEventLoop) -> Waiting:
    return Waiting(loop)


def test_the_earliest_deadline_goes_first_within_a_turn_and_a_line(
    waiting: Waiting, adapters: list[TaskAdapter]
) -> None:
    a, b = task(adapters, "a"), task(adapters, "b")
    late, early = waiting.ask(row(a), deadline=9), waiting.ask(row(a), deadline=5)
    other, never = waiting.ask(row(b), deadline=7), waiting.ask(row(b))
    taken = waiting.queue.take(9, now=0.0).batch
    assert [item.request for item in taken] == [early, other, late, never]


def test_turns_are_paid_in_flops(waiting: Waiting, adapters: list[TaskAdapter]) -> None:
    dear, cheap = task(adapters, "dear", spent=4 * SECOND), task(adapters, "cheap")
    waiting.ask(*[row(dear) for _ in range(8)])
    waiting.ask(*[row(cheap) for _ in range(32)])
    taken = Counter(item.row.resident.sha256 for item in waiting.queue.take(10, now=0.0).batch)
    assert taken == {"dear": 2, "cheap": 8}


def test_who_comes_late_to_a_crowd_waits_for_one_turn(waiting: Waiting, adapters: list[TaskAdapter]) -> None:
    crowd, single = task(adapters, "crowd"), task(adapters, "single")
    waiting.ask(*[row(crowd) for _ in range(50)])
    waiting.queue.take(20, now=0.0)
    alone = [row(single)]
    assert waiting.queue.ahead(alone, 5) == 1
    assert waiting.queue.ahead([row(crowd)], 5) == 30
    assert waiting.queue.ahead(alone, 9) == 30  # what is more urgent goes first, whatever its turn
    request = waiting.ask(*alone)
    assert request in [item.request for item in waiting.queue.take(2, now=0.0).batch]


def test_the_budget_is_in_images_and_rows_of_one_image_share_its_trunk(
    waiting: Waiting, adapters: list[TaskAdapter]
) -> None:
    image = np.zeros(1, np.uint8)
    tasks = [task(adapters, f"{index}", trunk=round(0.9 * SECOND)) for index in range(12)]
    waiting.ask(*[row(each, image) for each in tasks])
    taken = waiting.queue.take(2, now=0.0)
    assert len(taken.batch) == 8  # no more than four rows an image
    assert taken.images == pytest.approx(1 + 7 * 0.1)
    waiting.ask(row(tasks[0]))
    assert len(waiting.queue.take(2, now=0.0).batch) == 4  # with another image it would be more than two


def test_a_row_that_would_be_late_is_dropped_and_makes_nobody_else_late(
    waiting: Waiting, adapters: list[TaskAdapter]
) -> None:
    a, b, c = (task(adapters, name) for name in "abc")
    in_time, late = waiting.ask(row(a), deadline=1.5), waiting.ask(row(b), deadline=1.9)
    patient = waiting.ask(row(c), deadline=9.0)
    first = waiting.queue.take(9, now=0.0, seconds=lambda images: images)
    assert [item.request for item in first.batch] == [in_time]  # with another row it would have been late
    second = waiting.queue.take(9, now=1.0, seconds=lambda images: images)
    assert [item.request for item in second.batch] == [late, patient]  # who is first is tried, whatever the model says
    first_in_line, hopeless = waiting.ask(row(a)), waiting.ask(row(b), deadline=9.9, priority=6)
    third = waiting.queue.take(9, now=9.0, seconds=lambda images: images)
    assert [item.request for item in third.batch] == [first_in_line]
    assert [item.request for item in third.late] == [hopeless]


class Queued(RuleBasedStateMachine):
    """Requests come, give up and are taken; the clock goes on."""

    adapter: TaskAdapter
    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        self.waiting, self.now, self.left = Waiting(self.loop), 0.0, dict[tuple[Request, int], str]()
        self.tasks = [
            task([self.adapter], f"{index}", spent=SECOND + index, trunk=index * SECOND // 6) for index in range(5)
        ]

    @rule(
        tasks=st.lists(st.integers(0, 4), min_size=1, max_size=6),
        patience=st.none() | st.floats(0.5, 20),
        priority=st.sampled_from([1, 5, 9]),
        shared=st.booleans(),
    )
    def ask(self, tasks: list[int], patience: float | None, priority: int, shared: bool) -> None:
        image = np.zeros(1, np.uint8)
        rows = [row(self.tasks[each], image if shared else None) for each in tasks]
        deadline = None if patience is None else self.now + patience
        request = self.waiting.ask(*rows, deadline=deadline, priority=priority)
        self.left |= {(request, index): rows[index].resident.sha256 for index in range(len(rows))}

    @precondition(lambda self: self.left)
    @rule(data=st.data(), told=st.booleans())
    def give_up(self, data: st.DataObject, told: bool) -> None:
        request = data.draw(st.sampled_from([request for request, _ in self.left]))
        request.future.cancel()
        if told:
            self.waiting.queue.discard(request)
            self.left = {place: each for place, each in self.left.items() if place[0] is not request}

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        wanted = [place for place in self.left if not place[0].over(self.now)]
        taken = self.waiting.queue.take(BUDGET, now=self.now, seconds=lambda images: images / 10)
        self._are_gone([*taken.batch, *taken.late])
        assert bool(taken.batch) == bool(wanted)
        assert taken.images <= BUDGET + 1e-6
        assert all(item.deadline >= self.now + taken.images / 10 for item in taken.batch[1:])
        assert all(not item.request.over(self.now) for item in taken.batch)
        if taken.batch and wanted:
            urgent = min(request.priority for request, _ in wanted)
            assert taken.batch[0].request.priority == urgent

    def _are_gone(self, items: list[Item]) -> None:
        for item in items:
            del self.left[item.request, item.index]  # never twice
        for request in {request for request, _ in self.left if request.over(self.now)}:
            self.waiting.queue.discard(request)  # some of them were dropped on the way; which ones is not told
        self.left = {place: each for place, each in self.left.items() if not place[0].over(self.now)}

    @invariant()
    def what_waits_is_what_is_left(self) -> None:
        if hasattr(self, "left"):
            assert len(self.waiting.queue) == len(self.left)


def test_any_order_of_events(adapters: list[TaskAdapter], loop: asyncio.AbstractEventLoop) -> None:
    class Here(Queued):
        pass

    Here.adapter, Here.loop = adapters[0], loop
    run(Here, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def test_a_crowd_in_every_line_is_answered_evenly(waiting: Waiting, adapters: list[TaskAdapter]) -> None:
    tasks = [task(adapters, f"{index}", spent=SECOND * (1 + index % 2)) for index in range(10)]
    for each in tasks:
        waiting.ask(*[row(each) for _ in range(40)])
    spent = Counter[str]()
    for _ in range(30):
        for item in waiting.queue.take(BUDGET, now=0.0).batch:
            spent[item.row.resident.sha256] += item.row.resident.cost.spent
    assert max(spent.values()) - min(spent.values()) <= 2 * SECOND
