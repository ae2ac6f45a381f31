"""The arithmetic of a load, and the figures that the goals are about. Pure functions.

A load: when requests are due, how long they took, how many were answered in a second. A goal's figure is a ratio or a
difference within one round, so a slower machine in one round does not matter. The headline is the median over the
rounds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        due: when it was to be sent, in seconds from the start of the load.
        sent: when it was.
        done: when its answer was whole; infinity where none came.
        status: of the answer; 0 if none came.
    """

    due: float
    sent: float
    done: float
    status: int

    @property
    def latency(self) -> float:
        """Seconds from when it was due, so that a server (or a client) that falls behind cannot hide it."""
        return self.done - self.due


def arrivals(rate: float, seconds: float, *, seed: int) -> list[float]:
    """Times at which requests come, independently of each other (a Poisson process), `rate` of them a second."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1 / rate, size=max(1, math.ceil(2 * rate * seconds) + 20))
    return [float(time) for time in np.cumsum(gaps) if time < seconds]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def answered_per_second(times: Sequence[float]) -> float:
    """The slope of the line through all answers. Unlike a count, it does not depend on where the last batch ended.

    Raises:
        ValueError: fewer than two answers.
    """
    if len(times) < 2:  # noqa: PLR2004
        raise ValueError("a rate needs at least two answers: measure for longer")
    ordered = np.sort(np.asarray(times))
    slope = np.polyfit(ordered - ordered[0], np.arange(len(ordered)), 1)[0]
    return float(slope)


def summary(calls: Sequence[Call], *, warmup: float, seconds: float) -> dict[str, float]:
    """Figures of the requests that were due after the warm-up; a request without a good answer has no latency.

    The rate counts all answers within the `seconds` after the warm-up, also those of earlier requests: a server that
    falls behind answers requests of the warm-up then.
    """
    counted = [call for call in calls if call.due >= warmup]
    good = [call for call in counted if call.status == 200]  # noqa: PLR2004
    figures: dict[str, float] = {"requests": len(counted), "failed": len(counted) - len(good)}
    if good:
        for percent in PERCENTILES:
            figures[f"p{percent}_ms"] = percentile([call.latency for call in good], percent) * 1e3
        figures["sent_late_p99_ms"] = percentile([call.sent - call.due for call in counted], 99) * 1e3
        done = [call.done for call in calls if call.status == 200 and 0 <= call.done - warmup <= seconds]  # noqa: PLR2004
        figures["per_second"] = answered_per_second(done) if len(done) > 1 else 0.0
    return figures


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all rounds."""

    median: float
    lowest: float
    highest: float
    rounds: list[float]


def spread(values: Sequence[float]) -> Spread:
    """The median of the rounds, with all of them beside it."""
    return Spread(median(values), min(values), max(values), list(values))


Round = Mapping[str, Any]  # server name, or "alone" -> its figures


def headlines(rounds: Mapping[str, Sequence[Round]]) -> dict[str, Any]:
    """The goals' keys, and under `spreads` each with its rounds; a key without a figure is None.

    Args:
        rounds: by backbone: "bundled", "swin_t".
    """
    bundled, swin = rounds.get("bundled", ()), rounds.get("swin_t", ())
    series = {
        "http_vs_engine": [_rate(each, "ours") / each["alone"]["per_second"] for each in swin if "ours" in each],
        "vs_litserve_bundled": _against_litserve(bundled),
        "vs_litserve_swin_t": _against_litserve(swin),
        "p99_at_60_vs_forward": [_p99_at_60(each) for each in swin if "ours" in each],
        "added_latency_p50_ms": [each["ours"]["unloaded"]["added_p50_ms"] for each in swin if "ours" in each],
        "goodput_at_200_bundled": [_goodput(each["ours"]) for each in bundled if "open" in each.get("ours", ())],
        "goodput_at_200_swin_t": [_goodput(each["ours"]) for each in swin if "open" in each.get("ours", ())],
        "tasks64_vs_1": [_many_against_one(each["ours"]) for each in swin if "ours" in each],
    }
    spreads = {key: asdict(spread(values)) if values else None for key, values in series.items()}
    return {**{key: it["median"] if it else None for key, it in spreads.items()}, "spreads": spreads}


def _rate(each: Round, server: str) -> float:
    rate: float = each[server]["closed"]["per_second"]
    return rate


def _against_litserve(rounds: Sequence[Round]) -> list[float]:
    both = [each for each in rounds if "ours" in each and "litserve" in each]
    return [_rate(each, "ours") / _rate(each, "litserve") for each in both]


def _p99_at_60(each: Round) -> float:
    ratio: float = each["ours"]["open"]["60"]["p99_ms"] / each["alone"]["forward_ms"]
    return ratio


def _goodput(ours: Mapping[str, Any]) -> float:
    """Answers a second at twice the capacity, as a share of those at saturation."""
    ratio: float = ours["open"]["200"]["per_second"] / ours["closed"]["per_second"]
    return ratio


def _many_against_one(ours: Mapping[str, Any]) -> float:
    one = (ours["closed"]["per_second"] + ours["closed_again"]["per_second"]) / 2
    ratio: float = ours["closed_64"]["per_second"] / one
    return ratio
