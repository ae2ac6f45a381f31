"""The engine as the server opens it, over the shared random weights, and what all of our workers need of it.

`Opened` also holds the runtime, so that a planned batch can be timed without staging and accounting around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from backbone import Backbone, adapt, flatten, kernels
from backbone.memory import keep_large_blocks
from benchmarks.engine.peers.timm import load, load_vit
from benchmarks.engine.pipe import SWIN, VIT, Job
from service.engine import Engine, Resident
from service.engine.planning import Plan, plan
from service.engine.runtime import Runtime, TorchRuntime


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine, its backbone, and what computes its batches."""

    engine: Engine
    runtime: Runtime
    fast: int  # sub-layers that compiled kernels compute

    @property
    def backbone(self) -> Backbone:
        """The frozen network."""
        return self.engine.backbone


def open_engine(job: Job) -> Opened:
    """An engine over Swin with the shared weights and this job's threads."""
    return open_over(plain_backbone(job), job)


def open_vit(job: Job) -> Opened:
    """An engine over the ViT, likewise."""
    return open_over(flatten(VIT, load_vit(job)), job)


def open_over(backbone: Backbone, job: Job) -> Opened:
    """An engine over a network, with our kernels and a process that keeps its memory, as in the server.

    It computes in the job's precision, which is fp32 unless the job names another.
    """
    precision = next(each for each in get_args(kernels.Precision) if each == job.text("precision", "fp32"))
    keep_large_blocks()
    folder = kernels.default_folder()
    kernels.build_missing(folder)  # as the server does
    runtime, compiled = TorchRuntime(backbone), kernels.load(backbone, folder, precision=precision)
    runtime.use(compiled)
    return Opened(Engine(backbone, runtime), runtime, compiled.compiled)


def plain_backbone(job: Job) -> Backbone:
    """A second copy of Swin, which no runtime changes."""
    return flatten(SWIN, load(job))


def bare_plan(images: int) -> Plan:
    """A plan without tasks: the bare network on `images` images, up to its features."""
    return Plan(images=tuple(range(images)), places=(), groups=(), live={}, forks={})


def logits(runtime: Runtime, images: Tensor, residents: Sequence[Resident]) -> list[Tensor]:
    """Logits of image i for task i, in the order given; planned and computed as one batch."""
    batch = plan(residents)
    rows = [row for group, _ in runtime.forward(images[list(batch.images)], batch) for row in group]
    return [rows[place] for place in batch.places]


@torch.inference_mode()
def references(backbone: Backbone, images: Tensor, residents: Sequence[Resident]) -> list[Tensor]:
    """Logits of each row alone, by the reference loop: no plan, no runtime."""
    return [_reference(backbone, image, resident) for image, resident in zip(images, residents, strict=True)]


def _reference(backbone: Backbone, image: Tensor, resident: Resident) -> Tensor:
    features = backbone(
        image[None],
        lambda index, h: adapt(h, resident.sites[index]) if index in resident.sites else h,
    )
    return torch.nn.functional.linear(features, *resident.head)[0]
