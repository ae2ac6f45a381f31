"""Eight tasks with full adapters on a ViT, for the peer that computes the same function from the same weights."""

import numpy as np

from benchmarks.engine.job import VIT_ADAPTERS, Calls, Job
from benchmarks.engine.ours.opened import open_vit
from benchmarks.engine.tasks import full_widths, task_of
from service.engine import Row


def build(job: Job) -> Calls:
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
