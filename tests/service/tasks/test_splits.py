"""Shares of traffic: from decimal weights to the store's form, and back."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters_store.commands import MAX_WEIGHT
from service.tasks.splits import of_weights, shares, sticky, whole
from tests.service.hostile import quick


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ({3: 0.9, 4: 0.1}, {3: 9, 4: 1}),
        ({3: 9, 4: 1}, {3: 9, 4: 1}),
        ({1: 1, 2: 1, 3: 1}, {1: 1, 2: 1, 3: 1}),
        ({1: 0.125, 2: 0.875}, {1: 1, 2: 7}),
        ({7: 0.3}, {7: 100}),
    ],
)
def test_weights_are_kept_in_lowest_terms(weights: dict[int, float], wanted: dict[int, int]) -> None:
    assert of_weights(weights) == wanted


def test_one_version_is_kept_as_a_publication_keeps_it() -> None:
    assert of_weights({4: 0.25}) == whole(4)


def test_shares_are_parts_of_one() -> None:
    assert shares({4: 1, 3: 9}) == {3: 0.9, 4: 0.1}


WEIGHTS = st.dictionaries(st.integers(1, 99), st.floats(1e-6, 1e6), min_size=1, max_size=16)


@quick
@given(WEIGHTS)
def test_any_weights_fit_the_store_and_come_back_as_they_were(weights: dict[int, float]) -> None:
    split, total = of_weights(weights), sum(weights.values())
    assert all(1 <= weight <= MAX_WEIGHT for weight in split.values())
    for version, share in shares(split).items():
        assert share == pytest.approx(weights[version] / total, abs=2e-5)
    assert sum(shares(split).values()) == pytest.approx(1)
    if len(split) > 1:  # setting what one has read changes nothing
        assert of_weights({version: float(weight) for version, weight in split.items()}) == split


def test_each_version_gets_its_share_of_the_keys() -> None:
    split = {1: 70, 2: 25, 3: 5}
    found = Counter(sticky("cats", split, f"key-{number}") for number in range(10_000))
    for number, weight in split.items():
        assert found[number] / 10_000 == pytest.approx(weight / 100, abs=0.02)


def test_a_key_stays_while_the_weights_stand_and_moves_only_as_they_do() -> None:
    keys = [f"key-{number}" for number in range(2_000)]
    before = [sticky("cats", {1: 9, 2: 1}, key) for key in keys]
    assert before == [sticky("cats", {2: 10, 1: 90}, key) for key in keys]  # in any order, in any terms
    after = [sticky("cats", {1: 4, 2: 1}, key) for key in keys]
    assert {(old, new) for old, new in zip(before, after, strict=True)} == {(1, 1), (2, 2), (1, 2)}


def test_the_canaries_of_two_tasks_are_not_the_same_keys() -> None:
    keys = [f"key-{number}" for number in range(1_000)]
    both = sum(sticky("cats", {1: 9, 2: 1}, key) == sticky("dogs", {1: 9, 2: 1}, key) == 2 for key in keys)
    assert both < 40  # a hundredth of them, where chance decides


def test_a_sticky_choice_is_the_same_in_every_release() -> None:
    assert [sticky("cats", {1: 1, 2: 1}, f"key-{number}") for number in range(8)] == [2, 2, 1, 2, 1, 2, 1, 2]
