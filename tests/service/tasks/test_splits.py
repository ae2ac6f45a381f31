"""Shares of traffic: from decimal weights to the store's form, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters_store.commands import MAX_WEIGHT
from service.tasks.splits import of_weights, shares, whole
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
