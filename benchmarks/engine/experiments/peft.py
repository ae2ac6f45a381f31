"""Eight tasks in a batch of sixteen: PEFT's mixed batches of LoRA, and one full model a task, against ours.

LoRA of rank 8 on both products of every MLP has exactly as many parameters as adapters of 20 neurons at every site.
PEFT cannot mix tasks in Swin's attention: there the leading dimension counts windows, and `adapter_names` images.
"""

from contextlib import ExitStack

from benchmarks.engine.bench import Bench, Found, compare, measured, peers
from benchmarks.engine.peering import is_equal, reason
from benchmarks.engine.pipe import Worker
from benchmarks.measure import Estimate

BATCH, TASKS, RANK, NEURONS = 16, 8, 8, 20
OPTIONS = {"batch": BATCH, "tasks": TASKS}


def measure(bench: Bench, found: Found) -> None:
    """LoRA is another function: checked are its bare network against ours, and its mixed rows against single ones."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours("ours.equal_parameters", {**OPTIONS, "width": NEURONS}))
        lora = stack.enter_context(peers(bench, found, ["peft"], {**OPTIONS, "rank": RANK}))
        full = stack.enter_context(peers(bench, found, ["full_models"], OPTIONS))
        good = {who: worker for who, worker in lora.items() if is_good_lora(who, worker, ours, found)}
        good |= {who: worker for who, worker in full.items() if is_good_full(who, worker, ours, found)}
        contestants = {"ours/default": (ours, "mixed"), **{who: (worker, "mixed") for who, worker in good.items()}}
        times, details = measured(contestants, rounds=bench.rounds)
        for key, who in (("speedup_vs_peft_mixed", "peft/default"), ("speedup_vs_full_models", "full_models/default")):
            if who in times:
                found.estimates[key] = compare(times, who, "ours/default")
            else:
                found.reasons[key] = reason(found, who)
        memory = {name: worker.memory() for name, (worker, _) in contestants.items()}
        if "full_models/default" in memory:
            share = memory["full_models/default"]["resident_bytes"] / memory["ours/default"]["resident_bytes"]
            found.estimates["memory_of_full_models_vs_ours"] = Estimate(share, share, share)
        else:
            found.reasons["memory_of_full_models_vs_ours"] = found.reasons["speedup_vs_full_models"]
        found.details["peft"] = {**details, **ours.facts, "memory": memory}


def is_good_lora(who: str, worker: Worker, ours: Worker, found: Found) -> bool:
    """Whether its bare network is ours, its mixed rows are its single rows, and its tasks have as many parameters."""
    counts = worker.facts["parameters_per_task"], ours.facts["parameters_per_task"]
    if counts[0] != counts[1]:
        found.fail(who, f"it has {counts[0]} parameters a task, ours {counts[1]}")
        return False
    pairs = {
        "bare network": (ours.answer("features"), worker.answer("base")),
        "mixed batch": (worker.answer("alone"), worker.answer("mixed")),
    }
    return is_equal(who, worker, pairs, found)


def is_good_full(who: str, worker: Worker, ours: Worker, found: Found) -> bool:
    """Whether the full models answer what our tasks without adapters do: both have the same heads."""
    return is_equal(who, worker, {"logits": (ours.answer("heads"), worker.answer("mixed"))}, found)
