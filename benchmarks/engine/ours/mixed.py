"""Batches that mix tasks: 16 tasks or one, 1,000 resident or 16, and what the 1,000 weigh.

Every task has 276 neurons and live sites of its own, so that their costs differ; the batch of a single task is one of
the sixteen, another in each call, and costs on average what the mixed batch costs.
"""

import random
from itertools import cycle

import torch

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.ours.opened import logits, open_engine, plain_backbone, references
from benchmarks.engine.tasks import many_pruned
from benchmarks.engine.worker import memory


def build(job: Job) -> Calls:
    """`single`, `mixed16`, `mixed1000`; what mixed rows answer, and what they must answer."""
    opened, batch, many = open_engine(job), job.number("batch"), job.number("tasks")
    engine, runtime = opened.engine, opened.runtime
    images = torch.from_numpy(job.images(batch))
    few, _ = many_pruned(engine, batch, first_seed=100)
    before = memory("VmRSS")
    crowd, nbytes = many_pruned(engine, many - batch, first_seed=100 + batch)
    grown, turns, dice = memory("VmRSS") - before, cycle(few), random.Random(0)
    everyone, plainly = few + crowd, plain_backbone(job)
    stride = everyone[:: max(1, many // batch)][:batch]
    return Calls(
        {
            "single": lambda: logits(runtime, images, [next(turns)] * batch),
            "mixed16": lambda: logits(runtime, images, few),
            "mixed1000": lambda: logits(runtime, images, dice.sample(everyone, batch)),
            "check_mixed16": lambda: logits(runtime, images, few),
            "check_mixed1000": lambda: logits(runtime, images, stride),
            "reference_mixed16": lambda: references(plainly, images, few),
            "reference_mixed1000": lambda: references(plainly, images, stride),
        },
        {
            "flops": {"mixed16": sum(resident.cost.spent for resident in few)},
            "weight_bytes": nbytes,
            "memory_growth_bytes": grown,
            "accounted_bytes": sum(resident.nbytes for resident in crowd),
            "tasks": len(everyone),
        },
    )
