"""A high quantile of many times, with an interval that no distribution is assumed for."""

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist

from benchmarks.measure import Estimate

LEAST = 100  # values, below which the 99th percentile is the largest value and says little


def percentile(values: Sequence[float], share: float) -> Estimate:
    """The quantile, and order statistics that enclose it with 95 % certainty (binomial, by its normal limit).

    Raises:
        ValueError: fewer than 100 values.
    """
    ordered, n = sorted(values), len(values)
    if n < LEAST:
        raise ValueError(f"a percentile needs at least {LEAST} values, not {n}")
    half = NormalDist().inv_cdf(0.975) * sqrt(n * share * (1 - share))
    return Estimate(
        *(ordered[min(n - 1, max(0, ceil(rank) - 1))] for rank in (n * share, n * share - half, n * share + half))
    )


def milliseconds(estimate: Estimate) -> Estimate:
    """From seconds."""
    return Estimate(1e3 * estimate.median, 1e3 * estimate.low, 1e3 * estimate.high)
