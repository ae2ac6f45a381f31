"""How long a swap takes until the new version answers, while batches are computed and while none are."""

from dataclasses import asdict

from benchmarks.engine.bench import Bench, Found
from benchmarks.engine.quantiles import milliseconds, percentile

SWAPS, QUICK_SWAPS, BATCH, TASKS = 1000, 100, 16, 1000
KEYS = {"swap_resident_p99_ms": "resident", "swap_store_p99_ms": "store"}


def measure(bench: Bench, found: Found) -> None:
    """The goals are for a busy engine; idle stands beside."""
    options = {"swaps": QUICK_SWAPS if bench.quick else SWAPS, "batch": BATCH, "tasks": TASKS}
    with bench.ours("ours.swap", options) as worker:
        seconds = {call: worker.tell(call)["seconds"] for call in worker.calls}
        for key, call in KEYS.items():
            found.estimates[key] = milliseconds(percentile(seconds[call], 0.99))
        found.details["swap"] = {
            "seconds": seconds,
            "median_ms": {call: asdict(milliseconds(percentile(each, 0.5))) for call, each in seconds.items()},
            "p99_ms": {call: asdict(milliseconds(percentile(each, 0.99))) for call, each in seconds.items()},
            **worker.facts,
        }
