"""Differences between MiMi and every other method, paired by seed: the same images, split and order on both sides.

The interval is Student's at 95 %. Over data sets every pair of a set and a seed counts as one.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, stdev

from training.report.groups import Group, Section
from training.report.tables import Table

REFERENCE = "mimi"
_FEWEST = 2  # pairs of an interval

# Student's quantile at 97.5 % for 1, 2, … degrees of freedom.
_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL = 1.96


def half_width(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of a mean, None of fewer than two values."""
    if len(values) < _FEWEST:
        return None
    freedom = len(values) - 1
    quantile = _QUANTILES[freedom - 1] if freedom <= len(_QUANTILES) else _NORMAL
    return quantile * stdev(values) / sqrt(len(values))


def differences(section: Section, reference: str = REFERENCE) -> Table | None:
    """Points of test accuracy by which the reference is above each method, both after their last cycle.

    None if nothing can be paired.
    """
    rows = []
    for method, values in _pairs(section, reference).items():
        rows.append((method, *_shown(values), ", ".join(f"{value:+.1f}" for value in values)))
    header = ("method", f"{reference} is above it by", "95 % interval", "by seed")
    return (header, rows) if rows else None


def overall(sections: Sequence[Section], reference: str = REFERENCE) -> Table | None:
    """The same over all data sets, for methods that all of them have; None if there is one set, or nothing to pair."""
    found = [_pairs(section, reference) for section in sections]
    common = [method for method in found[0] if all(method in each for each in found)] if len(found) > 1 else []
    rows = []
    for method in common:
        by_set = [each[method] for each in found]
        least = min(mean(values) for values in by_set)
        pairs = [value for values in by_set for value in values]
        rows.append((method, *_shown(pairs), f"{least:+.1f}", str(len(by_set)), str(len(pairs))))
    header = ("method", f"{reference} is above it by", "95 % interval", "on its worst set", "sets", "pairs")
    return (header, rows) if rows else None


def _pairs(section: Section, reference: str) -> dict[str, list[float]]:
    """Differences in points by seed, for every other method that shares a seed with the reference."""
    last = {group.method: _by_seed(group) for group in section.last}
    own = last.pop(reference, {})
    found = {
        method: [100 * (own[seed] - other[seed]) for seed in sorted(own.keys() & other.keys())]
        for method, other in last.items()
    }
    return {method: values for method, values in found.items() if values}


def _by_seed(group: Group) -> dict[int, float]:
    return {result.seed: result.test for result in group.results if result.test is not None}


def _shown(values: Sequence[float]) -> tuple[str, str]:
    """Mean and interval, in points."""
    middle, half = mean(values), half_width(values)
    return f"{middle:+.1f}", "-" if half is None else f"{middle - half:+.1f} to {middle + half:+.1f}"
