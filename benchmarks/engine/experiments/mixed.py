"""Batches that mix tasks, with few and with very many tasks resident."""

from benchmarks.engine.bench import Bench, Found, compare, measured
from benchmarks.engine.equality import check_equal
from benchmarks.measure import Estimate

BATCH, TASKS, QUICK_TASKS = 16, 1000, 200


def measure(bench: Bench, found: Found) -> None:
    """Mixed rows must answer what each answers alone.

    Raises:
        UnequalError: they do not.
    """
    options = {"batch": BATCH, "tasks": QUICK_TASKS if bench.quick else TASKS}
    with bench.ours("ours.mixed", options) as worker:
        far = {
            call: check_equal(worker.answer(f"reference_{call}"), worker.answer(f"check_{call}"), who=call)
            for call in ("mixed16", "mixed1000")
        }
        contestants = {call: (worker, call) for call in ("single", "mixed16", "mixed1000")}
        times, details = measured(contestants, rounds=bench.rounds)
        found.estimates["mixed16_vs_single"] = compare(times, "mixed16", "single")
        found.estimates["mixed1000_vs_mixed16"] = compare(times, "mixed1000", "mixed16")
        facts = worker.facts
        held = max(facts["memory_growth_bytes"], facts["accounted_bytes"]) / facts["weight_bytes"]
        found.estimates["bank_bytes_vs_adapter_bytes"] = Estimate(held, held, held)
        found.details["mixed"] = {**details, **facts, "difference": far}
