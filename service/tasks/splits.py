"""Shares of traffic as people write them (0.9 and 0.1), and as the store keeps them: whole numbers, in lowest terms.

Lowest terms make equal splits equal, so that setting what is set already changes nothing.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import gcd, lcm

from adapters_store.commands import MAX_WEIGHT
from adapters_store.state import SOLE_WEIGHT

Split = Mapping[int, int]  # version -> weight


def whole(version: int) -> Split:
    """Everything to one version, in the store's own form."""
    return {version: SOLE_WEIGHT}


def of_weights(weights: Mapping[int, float]) -> Split:
    """The store's form of positive weights, which need not sum to 1.

    Exact where the smallest common form fits the store; else to a millionth of the heaviest.
    """
    if len(weights) == 1:
        return whole(next(iter(weights)))
    exact = {version: Fraction(repr(weight)) for version, weight in weights.items()}  # 0.1 is a tenth here
    scale = lcm(*(weight.denominator for weight in exact.values()))
    numbers = {version: int(weight * scale) for version, weight in exact.items()}
    heaviest = max(numbers.values()) // gcd(*numbers.values())
    if heaviest > MAX_WEIGHT:
        most = max(numbers.values())
        numbers = {version: max(1, round(Fraction(number * MAX_WEIGHT, most))) for version, number in numbers.items()}
    common = gcd(*numbers.values())
    return {version: number // common for version, number in numbers.items()}


def shares(split: Split) -> dict[int, float]:
    """What part of the traffic each version gets: positive, and 1 together."""
    total = sum(split.values())
    return {version: weight / total for version, weight in sorted(split.items())}
