"""The figures that the goals are about, from the raw ones of all rounds. Pure.

Each is a ratio or a difference within one round, so that a machine that is slower in one round than in another does
not matter; the headline is the median over the rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.serving.figures import spread

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
    """What is answered while twice as much is asked as can be, against what is at saturation."""
    ratio: float = ours["open"]["200"]["per_second"] / ours["closed"]["per_second"]
    return ratio


def _many_against_one(ours: Mapping[str, Any]) -> float:
    one = (ours["closed"]["per_second"] + ours["closed_again"]["per_second"]) / 2
    ratio: float = ours["closed_64"]["per_second"] / one
    return ratio
