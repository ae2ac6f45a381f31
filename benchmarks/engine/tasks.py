"""Tasks with random weights over any backbone, fast: thousands of them, for engines that shall hold thousands.

Real task adapters, but for the golden sample, which nobody here asks for. Widths are as pruning leaves them.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from adapters_store import SiteArrays, TaskAdapter
from backbone import Backbone
from benchmarks.engine.material import CLASSES
from benchmarks.synthetic import SCALE, manifest_of
from service.engine import Engine, Resident

INITIAL_FRACTION = 8  # N = M / 8 before any pruning
HALVINGS = 2  # of all neurons: 276 of 1,104 stay on Swin-T

Widths = Sequence[int]


def full_widths(backbone: Backbone, *, first: int = 0) -> list[int]:
    """N = M/8 at every site from `first` on."""
    return [site.dim // INITIAL_FRACTION if site.index >= first else 0 for site in backbone.sites]


def pruned_widths(initial: Widths, kept: int, *, seed: int) -> list[int]:
    """`kept` neurons of `initial`, as uneven as pruning leaves them: half of the sites lose all while others can hold.

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
    """Of everything a forward pass reads, in float32."""
    arrays = [adapter.head_weight, adapter.head_bias]
    arrays += [array for site in adapter.sites.values() for array in (site.down, site.up)]
    return sum(4 * array.size for array in arrays)


def many_pruned(engine: Engine, count: int, *, first_seed: int) -> tuple[list[Resident], int]:
    """Pruned tasks, every one with live sites of its own, resident; and the bytes of their weights."""
    residents, nbytes = [], 0
    for seed in range(first_seed, first_seed + count):
        adapter = pruned_task(engine.backbone, seed=seed)
        nbytes += weight_bytes(adapter)
        residents.append(engine.admit(adapter, f"pruned-{seed}"))
    return residents, nbytes
