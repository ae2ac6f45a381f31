"""What all systems share: weights of the networks, images, and tasks with random weights.

`make` writes weights and images into one folder, under timm's names: the same for every system. The tasks are real
task adapters, made fast enough for thousands of them; only their golden sample is empty. Widths are as pruning leaves
them.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file

from adapters_store import SiteArrays, TaskAdapter
from backbone import Backbone
from benchmarks.engine.pipe import FULL, IMAGES, NANO_WEIGHTS, QUICK, SIDE, SWIN, VIT, VIT_WEIGHTS, WEIGHTS
from benchmarks.synthetic import SCALE, manifest_of
from service.engine import Engine, Resident

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
    """Weights with noise added, so that no norm is the identity and no bias is zero; indices stay as they are."""
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

    Each site gets a share drawn from a beta distribution with most of its weight at the ends; the smaller half of the
    shares are removed sites, which are filled only where the others are full.
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
