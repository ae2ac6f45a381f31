"""Methods of measuring: interleaved rounds, paired comparisons with distribution-free intervals, full context.

Times on a shared machine have heavy tails, so medians and order statistics are used and no normality is assumed.
Times of different answers are not comparable, so answers are compared first.
"""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from math import ceil, comb, sqrt
from pathlib import Path
from statistics import NormalDist, median

import numpy as np

LEAST_VALUES = 6  # of fewer, no two enclose the median with 95 % certainty
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and the 95 % interval of the population's median."""

    median: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Estimate:
    """Median, and two values that enclose the true one with 95 % certainty whatever the distribution (sign test).

    Raises:
        ValueError: fewer than `LEAST_VALUES`.
    """
    ordered, n = sorted(values), len(values)
    if n < LEAST_VALUES:
        raise ValueError(f"an interval needs at least {LEAST_VALUES} values, not {n}")
    rank, outside = 0, 2 * 0.5**n  # probability that the median lies outside [ordered[rank], ordered[-1 - rank]]
    while outside + 2 * comb(n, rank + 1) * 0.5**n <= 0.05:  # noqa: PLR2004
        rank += 1
        outside += 2 * comb(n, rank) * 0.5**n
    return Estimate(median(ordered), ordered[rank], ordered[-1 - rank])


@dataclass(frozen=True, slots=True)
class Times:
    """Durations by round: on the wall, and of this process on its cores (without the work of others)."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def interleave(variants: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Times]:
    """Times of each variant. Every round runs all of them, another one first each time."""
    names = list(variants)
    times = {name: Times() for name in names}
    for call in variants.values():  # caches, allocator, code paths
        call()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start, cpu_start = time.perf_counter(), time.process_time()
            variants[name]()
            times[name].seconds.append(time.perf_counter() - start)
            times[name].cpu_seconds.append(time.process_time() - cpu_start)
    return times


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """Paired ratios, round by round."""
    return interval([a / b for a, b in zip(numerators, denominators, strict=True)])


def differences(left: Sequence[float], right: Sequence[float]) -> Estimate:
    """Paired differences, round by round."""
    return interval([a - b for a, b in zip(left, right, strict=True)])


def write_json(path: Path, result: Mapping[str, object]) -> str:
    """Write a result to `path`, and return the text.

    Raises:
        ValueError: it holds NaN or infinity, which JSON does not have.
    """
    text = json.dumps(result, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return text


def context(packages: Sequence[str]) -> dict[str, object]:
    """Machine, load, versions and commit, which must stand beside every figure."""
    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "load_average": os.getloadavg(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "commit": commit_of(_HERE),
        "uncommitted_changes": bool(_git(_HERE, "status", "--porcelain", "--untracked-files=no")),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def commit_of(tree: Path) -> str | None:
    """The commit of a checkout; None if it is none, or there is no git."""
    return _git(tree, "rev-parse", "HEAD")


def _git(tree: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=tree, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


LEAST = 100  # values; of fewer, the 99th percentile is the largest one


def percentile(values: Sequence[float], share: float) -> Estimate:
    """A quantile, and order statistics that enclose it with 95 % certainty (normal limit of the binomial).

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
    """An estimate in seconds, as milliseconds."""
    return Estimate(1e3 * estimate.median, 1e3 * estimate.low, 1e3 * estimate.high)


TOLERANCE = 1e-4  # relative to max(1, max |reference|)


class UnequalError(Exception):
    """Two systems give different answers."""


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest absolute difference, relative to max(1, max |ours|); infinite where shapes or finiteness differ."""
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    if ours.size == 0:
        raise ValueError("nothing to compare")
    return float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(ours).max())))


def check_equal(ours: np.ndarray, theirs: np.ndarray, *, who: str, tolerance: float = TOLERANCE) -> float:
    """The difference, which must be at most `tolerance`.

    Raises:
        UnequalError: it is larger.
    """
    found = difference(ours, theirs)
    if not found <= tolerance:  # not `>`: NaN must fail
        shapes = f", shapes {ours.shape} and {theirs.shape}" if ours.shape != theirs.shape else ""
        raise UnequalError(f"{who} computes something else: relative difference {found:.3g}{shapes}")
    return found
