"""The series of learning rates, and a search that goes on beyond the edge of its grid."""

import pytest

from training.errors import Diverged
from training.methods import METHODS
from training.rates import around, best, next_rate, search


def test_a_grid_is_three_rates_of_one_series() -> None:
    assert around(2e-3) == (1e-3, 2e-3, 5e-3)
    assert around(1e-3) == (5e-4, 1e-3, 2e-3)
    assert around(5e-3) == (2e-3, 5e-3, 1e-2)
    assert next_rate(3e-3, up=True) == 5e-3
    assert next_rate(3e-3, up=False) == 2e-3
    assert next_rate(1.0, up=False) == 0.5
    assert next_rate(1.0, up=True) == 2.0


def test_every_method_has_the_same_kind_of_grid() -> None:
    assert {method.rates == around(method.rates[1]) for method in METHODS.values()} == {True}


@pytest.mark.parametrize(
    ("peak", "tried"),
    [(2e-3, [1e-3, 2e-3, 5e-3]), (2e-2, [1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2]), (5e-4, [1e-3, 2e-3, 5e-3, 5e-4, 2e-4])],
)
def test_the_search_goes_on_until_the_best_lies_inside(peak: float, tried: list[float]) -> None:
    found = search((1e-3, 2e-3, 5e-3), lambda rate: -abs(rate - peak))
    assert list(found) == tried
    assert best(found) == peak


def test_the_search_adds_no_more_than_it_may_and_nothing_to_a_single_rate() -> None:
    assert list(search((1.0, 2.0), lambda rate: rate, extra=2)) == [1.0, 2.0, 5.0, 10.0]
    assert list(search((1.0, 2.0), lambda rate: rate, extra=0)) == [1.0, 2.0]
    assert list(search((1.0,), lambda rate: rate)) == [1.0]


def test_rates_that_diverge_are_an_edge_and_where_all_do_smaller_ones_are_tried() -> None:
    assert list(search((1e-3, 2e-3, 5e-3), lambda rate: None if rate > 2e-3 else rate)) == [1e-3, 2e-3, 5e-3]
    found = search((1e-3, 2e-3, 5e-3), lambda rate: None if rate > 3e-4 else 1.0, extra=3)
    assert list(found) == [1e-3, 2e-3, 5e-3, 5e-4, 2e-4, 1e-4]
    assert best(found) == 1e-4
    with pytest.raises(Diverged, match=r"0\.5, 1, 2"):
        best(search((1.0, 2.0), lambda rate: None, extra=1))


def test_of_equals_the_smaller_rate_is_the_best() -> None:
    assert best({2e-3: 0.5, 1e-3: 0.5, 5e-4: 0.1}) == 1e-3
