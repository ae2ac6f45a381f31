"""Answers are equal, or nothing is timed."""

import numpy as np
import pytest

from benchmarks.measure import UnequalError, check_equal, difference

ONES = np.ones((2, 3), np.float32)


def test_the_difference_is_relative_to_the_largest_value_and_to_one_below_that() -> None:
    assert difference(ONES * 100, ONES * 101) == pytest.approx(0.01)
    assert difference(ONES * 0.01, ONES * 0.02) == pytest.approx(0.01)


def test_what_is_near_enough_passes() -> None:
    assert check_equal(ONES, ONES + 5e-5, who="peer") == pytest.approx(5e-5, rel=0.1)


@pytest.mark.parametrize("theirs", [ONES + 2e-4, ONES[:, :2], ONES * np.nan, ONES * np.inf])
def test_what_differs_is_refused_by_name(theirs: np.ndarray) -> None:
    with pytest.raises(UnequalError, match="peer computes something else"):
        check_equal(ONES, theirs, who="peer")


def test_nothing_is_not_equal_to_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        difference(ONES[:0], ONES[:0])
