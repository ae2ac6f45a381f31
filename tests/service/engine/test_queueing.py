"""The next row, cancelled requests, and answers in the order of the rows."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine import DEFAULT_PRIORITY, Resident, Row, RowFailed, RowResult, Timing
from service.engine.queueing import Done, FairQueue, Request
from tests.service.engine.gate import Picture, Pixels


class Line:
    """A queue, and requests for its rows by task number."""

    def __init__(self, loop: asyncio.AbstractEventLoop, residents: list[Resident], image: Pixels) -> None:
        self.loop, self.queue = loop, FairQueue()
        self.residents, self.image = residents, image

    def ask(self, *tasks: int, deadline: float | None = None, priority: int = DEFAULT_PRIORITY) -> Request:
        future = self.loop.create_future()
        request = Request(future, len(tasks), since=0.0, deadline=deadline, priority=priority)
        self.queue.put([Row(self.residents[task], self.image.copy()) for task in tasks], request)
        return request

    def take(self, budget: int) -> list[Request]:
        return [item.request for item in self.queue.take(budget, now=0.0).batch]


@pytest.fixture
def line(residents: list[Resident], pixels: Picture) -> Iterator[Line]:
    loop = asyncio.new_event_loop()
    yield Line(loop, residents, pixels(0))
    loop.close()


def test_tasks_take_turns_however_long_one_line_is(line: Line) -> None:
    crowd, single, other = line.ask(*[0] * 5), line.ask(1), line.ask(2)
    assert line.take(4) == [crowd, single, other, crowd]
    assert line.take(9) == [crowd] * 3


def test_a_turn_goes_on_in_the_next_batch(line: Line) -> None:
    a, b = line.ask(0, 0), line.ask(1, 1)
    assert [line.take(1) for _ in range(4)] == [[a], [b], [a], [b]]


def test_a_higher_priority_goes_first_and_tasks_take_turns_within_it(line: Line) -> None:
    usual, low, high, other = line.ask(0, 0), line.ask(1, priority=9), line.ask(0, 0, priority=1), line.ask(2)
    assert line.take(9) == [high, high, usual, other, usual, low]
    assert line.take(1) == []


def test_a_request_given_up_leaves_its_lane(line: Line) -> None:
    gone, stays = line.ask(0, 1, priority=1), line.ask(0)
    line.queue.discard(gone)
    line.queue.discard(gone)
    assert (len(line.queue), line.take(9)) == (1, [stays])


def test_one_tasks_rows_come_first_in_first_out(line: Line) -> None:
    first, second = line.ask(0), line.ask(0)
    assert line.take(2) == [first, second]


def test_rows_nobody_waits_for_are_dropped_and_take_no_place_in_the_batch(line: Line) -> None:
    line.ask(0, deadline=0.0)
    line.ask(1).future.cancel()
    wanted = line.ask(2, deadline=1.0)
    assert line.take(1) == [wanted]
    assert len(line.queue) == 0


def test_discarding_frees_the_places_of_one_request_only(line: Line) -> None:
    mixed, stays = line.ask(0, 1, 0), line.ask(0)
    line.queue.discard(mixed)
    assert len(line.queue) == 1
    assert line.take(4) == [stays]
    line.queue.discard(stays)
    assert len(line.queue) == 0


def test_discarding_changes_no_turn(line: Line) -> None:
    a, gone, b = line.ask(0), line.ask(0, 1), line.ask(1)
    line.queue.discard(gone)
    assert line.take(2) == [a, b]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=6), budget=st.integers(1, 7))
def test_every_row_is_taken_exactly_once(line: Line, tasks: list[list[int]], budget: int) -> None:
    expected = {(request, index) for request in [line.ask(*each) for each in tasks] for index in range(request.size)}
    taken = []
    while batch := line.queue.take(budget, now=0.0).batch:
        assert len(batch) <= budget
        taken += [(item.request, item.index) for item in batch]
    assert len(taken) == len(set(taken))
    assert set(taken) == expected
    assert len(line.queue) == 0


def test_answers_come_back_in_the_order_of_the_rows(line: Line) -> None:
    request, answers = line.ask(0, 1, 2), [RowResult(0, 0, 0, 0, 0) for _ in range(3)]  # type: ignore[arg-type]
    for index in (2, 0, 1):
        assert not request.future.done()
        request.answer(index, answers[index])
    assert request.future.result() == answers


def test_the_first_failure_ends_a_request_and_later_answers_change_nothing(line: Line) -> None:
    request, failure = line.ask(0, 1), RowFailed("first")
    request.answer(0, failure)
    request.answer(1, RowFailed("second"))
    request.fail(RowFailed("third"))
    assert request.future.exception() is failure
    assert request.over(now=0.0)


def test_a_cancelled_request_takes_no_answer(line: Line) -> None:
    request = line.ask(0)
    request.future.cancel()
    request.answer(0, RowResult(0, 0, 0, 0, 0))  # type: ignore[arg-type]
    assert request.future.cancelled()


def test_an_answer_tells_how_long_it_waited_and_was_computed(line: Line) -> None:
    request = line.ask(0, 1)
    answer = RowResult(0, 0, 0, 0, 0)  # type: ignore[arg-type]
    Done([(item, answer) for item in line.queue.take(9, now=0.0).batch], started=5.0, seconds=2.0).deliver()
    assert [result.timing for result in request.future.result()] == [Timing(queue=5.0, compute=2.0)] * 2
