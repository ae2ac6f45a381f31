"""What adapters cost: a batch of one task with no live site, with 276 neurons kept, with all neurons, and no task."""

from functools import partial
from itertools import cycle

import torch

from benchmarks.engine.job import Call, Calls, Job
from benchmarks.engine.ours.opened import bare_plan, logits, open_engine, plain_backbone, references
from benchmarks.engine.tasks import full_widths, many_pruned, task_of

PRUNED_TASKS = 16  # with live sites of their own; one after the other, a batch each


def build(job: Job) -> Calls:
    """`bare`, `no_live_site`, `mimi_276` (another task in each call), `full`; `check_…` and `reference_…` for each."""
    opened, batch = open_engine(job), job.number("batch")
    engine, runtime = opened.engine, opened.runtime
    images, backbone = torch.from_numpy(job.images(batch)), engine.backbone
    nothing = engine.admit(task_of(backbone, [0] * len(backbone.sites), seed=0), "nothing")
    full = engine.admit(task_of(backbone, full_widths(backbone), seed=1), "full")
    pruned, _ = many_pruned(engine, PRUNED_TASKS, first_seed=100)
    turns, plain = cycle(pruned), bare_plan(batch)
    calls: dict[str, Call] = {
        "bare": lambda: runtime.forward(images, plain),
        "no_live_site": lambda: logits(runtime, images, [nothing] * batch),
        "mimi_276": lambda: logits(runtime, images, [next(turns)] * batch),
        "full": lambda: logits(runtime, images, [full] * batch),
    }
    plainly = plain_backbone(job)
    for name, resident in (("no_live_site", nothing), ("mimi_276", pruned[0]), ("full", full)):
        calls[f"check_{name}"] = partial(logits, runtime, images, [resident] * batch)
        calls[f"reference_{name}"] = partial(references, plainly, images, [resident] * batch)
    flops = {"bare": backbone.flops, "no_live_site": nothing.cost.spent, "full": full.cost.spent}
    flops["mimi_276"] = sum(resident.cost.spent for resident in pruned) // len(pruned)
    live = [len(resident.sites) for resident in pruned]
    return Calls(calls, {"flops": {name: batch * each for name, each in flops.items()}, "live_sites": live})
