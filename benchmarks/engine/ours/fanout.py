"""One image, eight tasks: with the trunk computed once, and as eight single passes; by the depth where tasks part."""

from functools import partial

import numpy as np
import torch

from adapters_store import unpack
from adapters_store.bundled import bundled_tasks
from backbone import load_backbone
from benchmarks.engine.job import Call, Calls, Job
from benchmarks.engine.ours.opened import open_engine
from benchmarks.engine.tasks import full_widths, task_of
from service.engine import Engine, Resident, Row

TASKS = 8


def build(job: Job) -> Calls:
    """For each depth `fanout_<site>` and `single_<site>`; `fanout_bundled`, `single_bundled`. Facts: FLOPs of each."""
    depths = job.options["depths"]
    if not isinstance(depths, list):
        raise TypeError(f"depths must be a list, not {depths!r}")
    engine, image = open_engine(job).engine, job.images(1)[0]
    scenes = {str(depth): (engine, _forking(engine, depth), image) for depth in depths}
    bundled = Engine(load_backbone())
    scenes["bundled"] = (bundled, _bundled(bundled), _pixels(bundled))
    calls: dict[str, Call] = {}
    flops: dict[str, int] = {}
    for name, (runner, residents, pixels) in scenes.items():
        rows = [Row(resident, pixels) for resident in residents]
        calls[f"fanout_{name}"] = partial(together, runner, rows)
        calls[f"single_{name}"] = partial(apart, runner, rows)
        flops[f"fanout_{name}"] = sum(result.flops_spent for result in runner.run(rows))
        flops[f"single_{name}"] = sum(resident.cost.spent for resident in residents)
    return Calls(calls, {"flops": flops, "bundled_tasks": len(scenes["bundled"][1])})


def together(engine: Engine, rows: list[Row]) -> list[np.ndarray]:
    """Every task about the image in one batch; padded to the widest head, so that answers fit one array."""
    return padded([result.logits for result in engine.run(rows)])


def apart(engine: Engine, rows: list[Row]) -> list[np.ndarray]:
    """A batch of one for each task."""
    return padded([engine.run([row])[0].logits for row in rows])


def padded(logits: list[np.ndarray]) -> list[np.ndarray]:
    """With zeros behind, to one length."""
    most = max(map(len, logits))
    return [np.pad(each, (0, most - len(each))) for each in logits]


def _forking(engine: Engine, depth: int) -> list[Resident]:
    widths = full_widths(engine.backbone, first=depth)
    return [engine.admit(task_of(engine.backbone, widths, seed=seed), f"{depth}-{seed}") for seed in range(TASKS)]


def _bundled(engine: Engine) -> list[Resident]:
    return [engine.admit(unpack(data), task) for task, data in bundled_tasks().items()]


def _pixels(engine: Engine) -> np.ndarray:
    size = engine.backbone.preprocessing.size
    return torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
