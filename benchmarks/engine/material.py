"""Shared by all systems: weights of the networks, images and tasks; and our engine over them.

`make` writes weights and images into one folder, under timm's names: the same for every system. The tasks are real
task adapters, made fast enough for thousands of them. Only their golden sample is empty. Their widths are as uneven as
those of pruned tasks.

`Opened` is the engine as the server opens it. It also holds the runtime: a planned batch can be timed without the
staging and the accounting around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from adapters_store import SiteArrays, TaskAdapter
from backbone import Backbone, adapt, flatten, kernels
from backbone.memory import keep_large_blocks
from benchmarks.engine.peers.timm import load, load_vit
from benchmarks.engine.pipe import FULL, IMAGES, NANO_WEIGHTS, QUICK, SIDE, SWIN, VIT, VIT_WEIGHTS, WEIGHTS, Job
from benchmarks.synthetic import SCALE, manifest_of
from service.engine import Engine, Resident
from service.engine.planning import Plan, plan
from service.engine.runtime import Runtime, TorchRuntime

MOST_IMAGES = 64
CLASSES = 10
NOISE = 0.05  # added to all weights: a bias of zero would hide that it was not copied


def make(folder: Path, *, quick: bool) -> None:
    """Fill the folder."""
    generator, sizes = torch.Generator().manual_seed(0), QUICK if quick else FULL
    networks: dict[str, tuple[str, dict[str, Any]]] = {
        WEIGHTS: (SWIN, sizes.swin),
        NANO_WEIGHTS: (SWIN, sizes.nano),
        VIT_WEIGHTS: (VIT, {"depth": sizes.vit_depth}),
    }
    for file, (name, size) in networks.items():
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, num_classes=0, **size)
        save_file({key: _varied(value, generator) for key, value in model.state_dict().items()}, folder / file)
    images = np.random.default_rng(0).standard_normal((MOST_IMAGES, 3, SIDE, SIDE)).astype(np.float32)
    np.save(folder / IMAGES, images)


def _varied(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Weights with added noise: then no norm is the identity, and no bias is zero. Indices stay unchanged."""
    if not value.is_floating_point():
        return value.contiguous()
    noise = torch.randn(value.shape, generator=generator)
    return (value + NOISE * noise * (1.0 if value.ndim < 2 else 0.1)).contiguous()  # noqa: PLR2004


INITIAL_FRACTION = 8  # N = M / 8 before any pruning
HALVINGS = 2  # of the number of neurons: 276 of 1,104 stay on Swin-T

Widths = Sequence[int]


def full_widths(backbone: Backbone, *, first: int = 0) -> list[int]:
    """N = M/8 at every site from `first` on."""
    return [site.dim // INITIAL_FRACTION if site.index >= first else 0 for site in backbone.sites]


def pruned_widths(initial: Widths, kept: int, *, seed: int) -> list[int]:
    """Widths with `kept` neurons in total, as uneven as pruning leaves them: about half of the sites lose all.

    Each site's share is drawn from a beta distribution with most of its weight at the ends. The smaller half of the
    shares are removed sites; they are filled only if the others are full.
    """
    rng = np.random.default_rng(seed)
    shares = (rng.beta(0.4, 0.6, len(initial)) + 1e-3) * np.asarray(initial)
    shares[np.argsort(shares / initial)[: len(initial) // 2]] = 0
    widths = np.zeros(len(initial), int)
    while (missing := kept - int(widths.sum())) > 0:
        room = np.asarray(initial) - widths
        wish = np.where(room > 0, shares, 0)
        wish = wish if wish.any() else room
        ends = [round(missing * part) for part in np.concatenate([[0], np.cumsum(wish) / wish.sum()])]
        widths += np.minimum(room, [end - start for start, end in pairwise(ends)])
    return [int(width) for width in widths]


def task_of(backbone: Backbone, widths: Widths, *, seed: int, classes: int = CLASSES) -> TaskAdapter:
    """A task of random weights."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) * np.float32(SCALE)

    sites = {
        site.index: SiteArrays(weights(width, site.dim), weights(site.dim, width))
        for site, width in zip(backbone.sites, widths, strict=True)
        if width
    }
    return TaskAdapter(
        manifest=manifest_of(backbone, widths, classes=classes, initial_widths=widths, sites=sites),
        sites=sites,
        head_weight=weights(classes, backbone.feature_dim),
        head_bias=weights(classes),
        golden_image=np.zeros((8, 8, 3), np.uint8),
        golden_logits=np.zeros(classes, np.float32),
    )


def pruned_task(backbone: Backbone, *, seed: int) -> TaskAdapter:
    """A task with a quarter of its neurons kept, and with live sites of its own."""
    initial = full_widths(backbone)
    return task_of(backbone, pruned_widths(initial, sum(initial) >> HALVINGS, seed=seed), seed=seed)


def weight_bytes(adapter: TaskAdapter) -> int:
    """Bytes that a forward pass reads, in float32."""
    arrays = [adapter.head_weight, adapter.head_bias]
    arrays += [array for site in adapter.sites.values() for array in (site.down, site.up)]
    return sum(4 * array.size for array in arrays)


def many_pruned(engine: Engine, count: int, *, first_seed: int) -> tuple[list[Resident], int]:
    """`count` resident pruned tasks, each with live sites of its own; and the bytes of their weights."""
    residents, nbytes = [], 0
    for seed in range(first_seed, first_seed + count):
        adapter = pruned_task(engine.backbone, seed=seed)
        nbytes += weight_bytes(adapter)
        residents.append(engine.admit(adapter, f"pruned-{seed}"))
    return residents, nbytes


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
