"""Eight tasks with the same full adapters on the same ViT: AdapterHub's `Parallel` and `BatchSplit` against ours."""

from contextlib import ExitStack

from benchmarks.engine.bench import Bench, Found, compare, measured, peers
from benchmarks.engine.peering import is_equal, reason

OPTIONS = {"tasks": 8}
KEYS = {"speedup_vs_adapterhub_parallel": "parallel", "speedup_vs_adapterhub_split": "split"}


def measure(bench: Bench, found: Found) -> None:
    """Both compute the same function from the same weights."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours("ours.same_adapters", OPTIONS))
        ready = stack.enter_context(peers(bench, found, ["adapterhub"], OPTIONS))
        answers = {call: ours.answer(call) for call in KEYS.values()}
        good = {
            who: worker
            for who, worker in ready.items()
            if is_equal(who, worker, {call: (answers[call], worker.answer(call)) for call in answers}, found)
        }
        everyone = {"ours/default": ours, **good}
        contestants = {f"{who} {call}": (worker, call) for who, worker in everyone.items() for call in answers}
        times, details = measured(contestants, rounds=bench.rounds)
        for key, call in KEYS.items():
            if "adapterhub/default" in good:
                found.estimates[key] = compare(times, f"adapterhub/default {call}", f"ours/default {call}")
            else:
                found.reasons[key] = reason(found, "adapterhub/default")
        found.details["adapterhub"] = details
