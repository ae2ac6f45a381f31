"""Eight tasks in a batch of sixteen on Swin, for peers that keep other adapters, or a whole model for each task."""

import numpy as np
import torch

from benchmarks.engine.job import HEADS, Calls, Job
from benchmarks.engine.ours.opened import logits, open_engine
from benchmarks.engine.tasks import task_of
from benchmarks.engine.worker import memory
from service.engine import Resident
from service.engine.planning import plan


def build(job: Job) -> Calls:
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
