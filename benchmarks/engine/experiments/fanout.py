"""One image and many tasks, by the depth at which they part, against single passes and what FLOPs allow."""

from dataclasses import asdict

from benchmarks.engine.bench import Bench, Found, compare, measured
from benchmarks.engine.equality import check_equal
from benchmarks.engine.job import FULL, QUICK
from benchmarks.measure import Estimate


def measure(bench: Bench, found: Found) -> None:
    """Answers of both ways are the same.

    Raises:
        UnequalError: they are not.
    """
    *others, stage4 = (QUICK if bench.quick else FULL).stages
    depths = [*others, (others[-1] + stage4) // 2, stage4]  # where each stage begins, and the middle of the third
    with bench.ours("ours.fanout", {"depths": depths}) as worker:
        names = [*map(str, depths), "bundled"]
        far = {
            name: check_equal(worker.answer(f"single_{name}"), worker.answer(f"fanout_{name}"), who=f"fan-out {name}")
            for name in names
        }
        contestants = {f"{kind}_{name}": (worker, f"{kind}_{name}") for name in names for kind in ("single", "fanout")}
        times, details = measured(contestants, rounds=bench.rounds)
        flops = worker.facts["flops"]
        ideal = {name: flops[f"single_{name}"] / flops[f"fanout_{name}"] for name in names}
        gains = {name: compare(times, f"single_{name}", f"fanout_{name}") for name in names}
        worst = min(
            (name for name in names if name not in (str(stage4), "bundled")), key=lambda n: gains[n].median / ideal[n]
        )
        found.estimates["fanout8_stage4_speedup"] = gains[str(stage4)]
        found.estimates["fanout_bundled_speedup"] = gains["bundled"]
        found.estimates["fanout_vs_flop_ideal"] = scaled(gains[worst], ideal[worst])
        found.details["fanout"] = {
            **details,
            **worker.facts,
            "flop_ideal": ideal,
            "speedup": {name: asdict(gain) for name, gain in gains.items()},
            "difference": far,
        }


def scaled(estimate: Estimate, divisor: float) -> Estimate:
    """As a share of `divisor`."""
    return Estimate(estimate.median / divisor, estimate.low / divisor, estimate.high / divisor)
