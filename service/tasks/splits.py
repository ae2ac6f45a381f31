"""Converts shares of traffic: decimal weights (0.9 and 0.1) to the store's whole numbers in lowest terms.

In lowest terms equal splits are equal numbers, so setting the same split again changes nothing.
"""

from collections.abc import Mapping
from fractions import Fraction
from hashlib import sha256
from math import gcd, lcm, log

from adapters_store.commands import MAX_WEIGHT
from adapters_store.state import SOLE_WEIGHT

Split = Mapping[int, int]  # version -> weight


def whole(version: int) -> Split:
    """All traffic to one version, in the store's form."""
    return {version: SOLE_WEIGHT}


def of_weights(weights: Mapping[int, float]) -> Split:
    """The store's form of positive weights, which need not sum to 1.

    Exact if the lowest terms fit the store; else rounded to a millionth of the largest weight.
    """
    if len(weights) == 1:
        return whole(next(iter(weights)))
    exact = {version: Fraction(repr(weight)) for version, weight in weights.items()}  # repr: 0.1 is exactly a tenth
    scale = lcm(*(weight.denominator for weight in exact.values()))
    numbers = {version: int(weight * scale) for version, weight in exact.items()}
    heaviest = max(numbers.values()) // gcd(*numbers.values())
    if heaviest > MAX_WEIGHT:
        most = max(numbers.values())
        numbers = {version: max(1, round(Fraction(number * MAX_WEIGHT, most))) for version, number in numbers.items()}
    common = gcd(*numbers.values())
    return {version: number // common for version, number in numbers.items()}


def shares(split: Split) -> dict[int, float]:
    """The share of the traffic of each version: positive, with the sum 1."""
    total = sum(split.values())
    return {version: weight / total for version, weight in sorted(split.items())}


_HASHES = 2**64


def sticky(task: str, split: Split, key: str) -> int:
    """The version that answers everything with this key, on every server, while the weights stand.

    Each version gets its share of all keys. When the weights change, only as many keys move as must. This is weighted
    rendezvous hashing (Schindelhauer and Schomaker, 2005): the version with the highest score wins. Keys fall
    differently for each task, so that a canary of one is not the canary of all.
    """
    return max(split, key=lambda version: (_score(task, version, key, split[version]), version))


def _score(task: str, version: int, key: str, weight: int) -> float:
    digest = sha256(f"{task}/{version}/{key}".encode()).digest()
    return -weight / log((int.from_bytes(digest[:8], "big") + 0.5) / (_HASHES + 1))
