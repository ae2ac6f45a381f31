"""If-Match and If-None-Match: read as HTTP says, with a task's generation as its entity tag."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters_store.errors import StaleGeneration
from service.errors import MalformedHeader
from service.tasks.conditions import Condition, fresh, parse, tag
from tests.service.hostile import quick


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "wanted"),
    [
        ([], [], Condition()),
        (['"17"'], [], Condition(frozenset({17}))),
        (['"17", "18"', '"3"'], [], Condition(frozenset({3, 17, 18}))),
        (['W/"17"'], [], Condition(frozenset())),
        (['"0"'], [], Condition(frozenset())),
        (['"another,tag"'], [], Condition(frozenset())),
        (["*"], [], Condition(exists=True)),
        ([], ["*"], Condition(exists=False)),
    ],
)
def test_headers_say_what_must_be_true(if_match: list[str], if_none_match: list[str], wanted: Condition) -> None:
    assert parse(if_match, if_none_match) == wanted


@pytest.mark.parametrize(
    ("if_match", "if_none_match"),
    [(["17"], []), ([""], []), (['"17'], []), (['"17",'], []), (['"17" x'], []), (["*", '"17"'], []),
     ([], ['"17"']), (['"17"'], ["*"]), (['w/"17"'], [])],
)  # fmt: skip
def test_what_is_not_written_so_is_refused(if_match: list[str], if_none_match: list[str]) -> None:
    with pytest.raises(MalformedHeader):
        parse(if_match, if_none_match)


@pytest.mark.parametrize(
    ("condition", "actual", "expected"),
    [
        (Condition(), 5, None),
        (Condition(frozenset({4, 5})), 5, 5),
        (Condition(exists=True), 5, 5),
        (Condition(exists=False), 0, 0),
    ],
)
def test_a_condition_that_holds_says_what_the_store_shall_expect(
    condition: Condition, actual: int, expected: int | None
) -> None:
    assert condition.expected("cats", actual) == expected


@pytest.mark.parametrize(
    ("condition", "actual"),
    [
        (Condition(frozenset({4})), 5),
        (Condition(frozenset()), 5),
        (Condition(exists=True), 0),
        (Condition(exists=False), 5),
    ],
)
def test_a_condition_that_does_not_hold_is_a_lost_race(condition: Condition, actual: int) -> None:
    with pytest.raises(StaleGeneration) as stale:
        condition.expected("cats", actual)
    assert stale.value.actual == actual


@pytest.mark.parametrize(
    ("values", "wanted"), [([], False), (["*"], True), (['"a", W/"b"'], True), (['"a"'], False), (['"bb"'], False)]
)
def test_a_copy_is_fresh_when_its_tag_is_among_those_sent(values: list[str], wanted: bool) -> None:
    assert fresh(values, '"b"') is wanted


@quick
@given(st.integers(1, 10**17))
def test_a_generation_s_tag_is_read_back(generation: int) -> None:
    assert parse([tag(generation)]) == Condition(frozenset({generation}))


@quick
@given(*[st.lists(st.text(st.characters(max_codepoint=255)), max_size=3)] * 2)
def test_no_value_does_more_than_be_refused(if_match: list[str], if_none_match: list[str]) -> None:
    with suppress(MalformedHeader):
        parse(if_match, if_none_match)
