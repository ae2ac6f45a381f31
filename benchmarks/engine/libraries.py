"""Eight tasks beside libraries that mix adapters: PEFT, one full model for each task, and AdapterHub.

LoRA of rank 8 on both products of every MLP has exactly as many parameters as adapters of 20 neurons at every site.
PEFT cannot mix tasks in Swin's attention: there the leading dimension counts windows, and `adapter_names` images.
"""

from contextlib import ExitStack

import numpy as np
import torch

from benchmarks.engine.bench import Bench, Found, compare, is_equal, measured, peers, reason
from benchmarks.engine.material import full_widths, logits, open_engine, open_vit, task_of
from benchmarks.engine.pipe import HEADS, VIT_ADAPTERS, Calls, Job, Worker
from benchmarks.engine.worker import memory
from benchmarks.measure import Estimate
from service.engine import Resident, Row
from service.engine.planning import plan

BATCH, TASKS, RANK, NEURONS = 16, 8, 8, 20
OPTIONS = {"batch": BATCH, "tasks": TASKS}


def measure_peft(bench: Bench, found: Found) -> None:
    """LoRA is another function. Its bare network is compared with ours, and its mixed rows with its single rows."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours("libraries:build_equal_parameters", {**OPTIONS, "width": NEURONS}))
        lora = stack.enter_context(peers(bench, found, ["peft"], {**OPTIONS, "rank": RANK}))
        full = stack.enter_context(peers(bench, found, ["full_models"], OPTIONS))
        good = {who: worker for who, worker in lora.items() if is_good_lora(who, worker, ours, found)}
        good |= {who: worker for who, worker in full.items() if is_good_full(who, worker, ours, found)}
        systems = {"ours/default": (ours, "mixed"), **{who: (worker, "mixed") for who, worker in good.items()}}
        times, details = measured(systems, rounds=bench.rounds)
        for key, who in (("speedup_vs_peft_mixed", "peft/default"), ("speedup_vs_full_models", "full_models/default")):
            if who in times:
                found.estimates[key] = compare(times, who, "ours/default")
            else:
                found.reasons[key] = reason(found, who)
        used = {name: worker.memory() for name, (worker, _) in systems.items()}
        if "full_models/default" in used:
            share = used["full_models/default"]["resident_bytes"] / used["ours/default"]["resident_bytes"]
            found.estimates["memory_of_full_models_vs_ours"] = Estimate(share, share, share)
        else:
            found.reasons["memory_of_full_models_vs_ours"] = found.reasons["speedup_vs_full_models"]
        found.details["peft"] = {**details, **ours.facts, "memory": used}


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


def build_equal_parameters(job: Job) -> Calls:
    """`mixed`: row i for task i modulo their number; `heads`: the same tasks without adapters; `features`: bare.

    Writes the tasks' heads for the peer that needs them.
    """
    before = memory("VmRSS")
    opened, tasks, width = open_engine(job), job.number("tasks"), job.number("width")
    engine, runtime = opened.engine, opened.runtime
    images = torch.from_numpy(job.images(job.number("batch")))
    depth = len(engine.backbone.sites)

    def admitted(hidden: int) -> list[Resident]:
        adapters = [task_of(engine.backbone, [hidden] * depth, seed=seed) for seed in range(tasks)]
        return [engine.admit(adapter, f"{hidden}-{seed}") for seed, adapter in enumerate(adapters)]

    adapted, headed = admitted(width), admitted(0)
    heads = [[part.numpy() for part in resident.head] for resident in headed]
    np.savez(job.path(HEADS), weight=[weight for weight, _ in heads], bias=[bias for _, bias in heads])
    rows = [row % tasks for row in range(len(images))]
    alone = plan([headed[0]] * len(images))
    return Calls(
        {
            "mixed": lambda: logits(runtime, images, [adapted[task] for task in rows]),
            "heads": lambda: logits(runtime, images, [headed[task] for task in rows]),
            "features": lambda: runtime.forward(images, alone)[0][1],
        },
        {
            "parameters_per_task": sum(part.numel() for site in adapted[0].sites.values() for part in site),
            "memory_growth_bytes": memory("VmRSS") - before,
            "flops": {"mixed": sum(adapted[task].cost.spent for task in rows)},
        },
    )


VIT_OPTIONS = {"tasks": 8}
VIT_KEYS = {"speedup_vs_adapterhub_parallel": "parallel", "speedup_vs_adapterhub_split": "split"}


def measure_adapterhub(bench: Bench, found: Found) -> None:
    """Both compute the same function from the same weights."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours("libraries:build_same_adapters", VIT_OPTIONS))
        ready = stack.enter_context(peers(bench, found, ["adapterhub"], VIT_OPTIONS))
        answers = {call: ours.answer(call) for call in VIT_KEYS.values()}
        good = {
            who: worker
            for who, worker in ready.items()
            if is_equal(who, worker, {call: (answers[call], worker.answer(call)) for call in answers}, found)
        }
        workers = {"ours/default": ours, **good}
        systems = {f"{who} {call}": (worker, call) for who, worker in workers.items() for call in answers}
        times, details = measured(systems, rounds=bench.rounds)
        for key, call in VIT_KEYS.items():
            if "adapterhub/default" in good:
                found.estimates[key] = compare(times, f"adapterhub/default {call}", f"ours/default {call}")
            else:
                found.reasons[key] = reason(found, "adapterhub/default")
        found.details["adapterhub"] = details


def build_same_adapters(job: Job) -> Calls:
    """`parallel`: one image, all tasks; `split`: one image for each task. Writes the adapters for the peer."""
    engine, tasks = open_vit(job).engine, job.number("tasks")
    widths = full_widths(engine.backbone)
    adapters = [task_of(engine.backbone, widths, seed=seed) for seed in range(tasks)]
    np.savez(
        job.path(VIT_ADAPTERS),
        down=[[adapter.sites[site].down for site in sorted(adapter.sites)] for adapter in adapters],
        up=[[adapter.sites[site].up for site in sorted(adapter.sites)] for adapter in adapters],
    )
    residents = [engine.admit(adapter, str(seed)) for seed, adapter in enumerate(adapters)]
    images = job.images(tasks)
    one = [Row(resident, images[0]) for resident in residents]
    each = [Row(resident, image) for resident, image in zip(residents, images, strict=True)]
    return Calls(
        {
            "parallel": lambda: [result.features for result in engine.run(one)],
            "split": lambda: [result.features for result in engine.run(each)],
        }
    )
