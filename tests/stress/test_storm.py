"""A small storm on a real server process, and what would count as harm."""

import pytest

from service.client import NotFound
from service.schemas import Problem
from tests.stress import storm
from tests.stress.storm import Counts


@pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine
def test_every_answer_of_a_storm_is_of_one_file_or_says_that_there_is_no_task() -> None:
    found = storm.run(threads=8, rounds=8)
    assert (found["wrong"], found["harm"], found["operations"]) == ({}, 0, 64)
    assert {"put", "predict"} <= set(found["latency_ms"])  # type: ignore[call-overload]


def test_wrong_answers_and_numbers_given_twice_are_harm() -> None:
    counts = Counts()
    counts.add("get", "done", 0.1, right=True)
    counts.add("get", "500 internal_error", 0.1, right=False)
    for version in (1, 2, 2):
        counts.numbered(version)
    found = counts.report()
    assert (found["wrong"], found["numbers_given_twice"], found["harm"]) == ({"get: 500 internal_error": 1}, 1, 2)


def gone() -> bool:
    error = NotFound("DELETE /v1/tasks/storm")
    error.problem = Problem(type="", title="", status=404, detail="", code="unknown_task")
    raise error


def test_a_task_may_be_gone_but_never_for_a_put_and_no_answer_may_be_mixed() -> None:
    assert [storm._outcome(name, gone) for name in ("get", "put")] == [
        ("404 unknown_task", True),
        ("404 unknown_task", False),
    ]
    assert storm._outcome("get", lambda: False) == ("mixed", False)
    assert storm._outcome("get", lambda: True) == ("done", True)
