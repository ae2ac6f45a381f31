"""What adapters cost over the bare backbone, in one process of ours."""

from benchmarks.engine.bench import Bench, Found, compare, measured
from benchmarks.engine.equality import check_equal

BATCH = 8
KEYS = {"no_live_site_vs_bare": "no_live_site", "mimi_276_vs_bare": "mimi_276", "full_adapters_vs_bare": "full"}


def measure(bench: Bench, found: Found) -> None:
    """Answers are checked against the defining loop first.

    Raises:
        UnequalError: ours computes something else.
    """
    with bench.ours("ours.adapters", {"batch": BATCH}) as worker:
        far = {
            call: check_equal(worker.answer(f"reference_{call}"), worker.answer(f"check_{call}"), who=call)
            for call in KEYS.values()
        }
        contestants = {call: (worker, call) for call in ("bare", *KEYS.values())}
        times, details = measured(contestants, rounds=bench.rounds)
        for key, call in KEYS.items():
            found.estimates[key] = compare(times, call, "bare")
        found.details["adapters"] = {**details, **worker.facts, "difference": far}
