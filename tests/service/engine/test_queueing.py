"""Who is next, who is gone, and answers in the order of the rows."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine import Resident, Row, RowFailed, RowResult
from service.engine.queueing import FairQueue, Request
from tests.service.engine.gate import Picture

Ask = Callable[..., Request]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def ask(loop: asyncio.AbstractEventLoop, residents: list[Resident], pixels: Picture) -> Ask:
    """A request with one row for each task number given."""

    def make(*tasks: int, deadline: float | None = None) -> Request:
        return Request(loop.create_future(), [Row(residents[task], pixels(0)) for task in tasks], deadline)

    return make


def queue_of(*requests: Request) -> FairQueue:
    queue = FairQueue()
    for request in requests:
        queue.put(request.items)
    return queue


def drain(queue: FairQueue, budget: int) -> list[Request]:
    return [item.request for item in queue.take(budget, now=0.0)]


def test_tasks_take_turns_however_long_one_line_is(ask: Ask) -> None:
    crowd, single, other = ask(*[0] * 5), ask(1), ask(2)
    queue = queue_of(crowd, single, other)
    assert drain(queue, 4) == [crowd, single, other, crowd]
    assert drain(queue, 9) == [crowd] * 3


def test_a_turn_goes_on_in_the_next_batch(ask: Ask) -> None:
    a, b = ask(0, 0), ask(1, 1)
    queue = queue_of(a, b)
    assert [drain(queue, 1) for _ in range(4)] == [[a], [b], [a], [b]]


def test_one_tasks_rows_come_first_in_first_out(ask: Ask) -> None:
    first, second = ask(0), ask(0)
    assert drain(queue_of(first, second), 2) == [first, second]


def test_rows_nobody_waits_for_are_dropped_and_take_no_place_in_the_batch(ask: Ask) -> None:
    late, gone, wanted = ask(0, deadline=0.0), ask(1), ask(2, deadline=1.0)
    gone.future.cancel()
    queue = queue_of(late, gone, wanted)
    assert drain(queue, 1) == [wanted]
    assert len(queue) == 0


def test_discarding_frees_the_places_of_one_request_only(ask: Ask) -> None:
    mixed, stays = ask(0, 1, 0), ask(0)
    queue = queue_of(mixed, stays)
    queue.discard(mixed)
    assert len(queue) == 1
    assert drain(queue, 4) == [stays]
    queue.discard(stays)
    assert len(queue) == 0


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=6), budget=st.integers(1, 7))
def test_every_row_is_taken_exactly_once(ask: Ask, tasks: list[list[int]], budget: int) -> None:
    requests = [ask(*each) for each in tasks]
    queue, taken = queue_of(*requests), []
    while batch := queue.take(budget, now=0.0):
        assert len(batch) <= budget
        taken += batch
    assert sorted(map(id, taken)) == sorted(id(item) for request in requests for item in request.items)
    assert len(queue) == 0


def test_answers_come_back_in_the_order_of_the_rows(ask: Ask, loop: asyncio.AbstractEventLoop) -> None:
    request, answers = ask(0, 1, 2), [RowResult(0, 0, 0) for _ in range(3)]  # type: ignore[arg-type]
    for index in (2, 0, 1):
        assert not request.future.done()
        request.settle(index, answers[index])
    assert loop.run_until_complete(request.future) == answers


def test_the_first_failure_ends_a_request_and_later_answers_change_nothing(ask: Ask) -> None:
    request, failure = ask(0, 1), RowFailed("first")
    request.settle(0, failure)
    request.settle(1, RowFailed("second"))
    request.fail(RowFailed("third"))
    assert request.future.exception() is failure
    assert request.over(now=0.0)


def test_a_cancelled_request_takes_no_answer(ask: Ask) -> None:
    request = ask(0)
    request.future.cancel()
    request.settle(0, RowResult(0, 0, 0))  # type: ignore[arg-type]
    assert request.future.cancelled()
