"""The bare backbone through the engine's forward pass."""

import torch

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.ours.opened import bare_plan, open_engine
from benchmarks.engine.tasks import task_of
from service.engine import Row
from service.engine.planning import plan


def build(job: Job) -> Calls:
    """`bare` is timed, and has `features` for answers; `run`: a task without a live site through the whole engine."""
    opened, batch = open_engine(job), job.number("batch")
    engine, forward = opened.engine, opened.runtime.forward
    images = torch.from_numpy(job.images(batch))
    nothing = engine.admit(task_of(engine.backbone, [0] * len(engine.backbone.sites), seed=0), "nothing")
    rows, bare, alone = [Row(nothing, image) for image in images.numpy()], bare_plan(batch), plan([nothing] * batch)
    return Calls(
        {
            "bare": lambda: forward(images, bare),
            "features": lambda: forward(images, alone)[0][1],
            "run": lambda: [result.logits for result in engine.run(rows)],
        },
        {"flops": dict.fromkeys(("bare", "run"), batch * engine.backbone.flops), "fast": opened.fast},
    )
