"""Learning rates to choose from: one rule for every method, and a search that goes on if the best is at an edge.

All rates belong to the 1-2-5 series, … 1e-3, 2e-3, 5e-3, 1e-2 …. A grid is a method's published rate and its two
neighbours. If the best rate on validation is the first or last of its grid, the next one is tried too.
"""

from collections.abc import Callable, Sequence
from math import floor, log10

from training.errors import Diverged

EXTRA = 4  # most rates that a search adds to its grid

Scores = dict[float, float | None]
"""Learning rate -> validation top-1 in [0, 1] after one cycle; None where it diverged."""

_SERIES = (1.0, 2.0, 5.0, 10.0, 20.0)  # of a decade, and two of the next
_SAME = 1e-6  # relative difference below which two rates are the same


def next_rate(rate: float, *, up: bool) -> float:
    """The next rate of the series above `rate`, or below it."""
    decade = floor(log10(rate))
    rates = [float(f"{factor:g}e{power}") for power in (decade - 1, decade) for factor in _SERIES]
    if up:
        return min(each for each in rates if each > rate * (1 + _SAME))
    return max(each for each in rates if each < rate * (1 - _SAME))


def around(rate: float) -> tuple[float, float, float]:
    """The grid of every method: the published rate between its two neighbours."""
    return next_rate(rate, up=False), rate, next_rate(rate, up=True)


def search(rates: Sequence[float], score: Callable[[float], float | None], *, extra: int = EXTRA) -> Scores:
    """Score every rate, then rates beyond the grid as long as the best is at its edge.

    A single rate is not extended. If every rate diverged, smaller ones are tried.

    Args:
        rates: the grid.
        score: validation top-1 in [0, 1] after one cycle; None if it diverges.
        extra: most rates that are added.
    """
    found: Scores = {rate: score(rate) for rate in rates}
    while extra and len(found) > 1 and (beyond := _beyond(found)) is not None:
        found[beyond] = score(beyond)
        extra -= 1
    return found


def best(found: Scores) -> float:
    """The rate of the best score, the smaller of equals.

    Raises:
        Diverged: there is none.
    """
    good = {rate: score for rate, score in sorted(found.items()) if score is not None}
    if not good:
        rates = ", ".join(f"{rate:g}" for rate in sorted(found))
        raise Diverged(f"the loss is not finite at any learning rate of {rates}")
    return max(good, key=good.__getitem__)


def _beyond(found: Scores) -> float | None:
    """The rate beyond the edge that the best one is at; None if it is inside the grid."""
    if all(score is None for score in found.values()):
        return next_rate(min(found), up=False)
    chosen = best(found)
    if chosen == max(found):
        return next_rate(chosen, up=True)
    return next_rate(chosen, up=False) if chosen == min(found) else None
