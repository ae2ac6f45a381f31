"""Task adapters with random weights and any widths: for benchmarks and tests that need many tasks, not good ones.

They are real artifacts in every other respect: packed, unpacked, with a golden sample from the reference forward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from adapters_store import BackboneRef, Manifest, Provenance, SiteArrays, TaskAdapter, pack, unpack
from adapters_store.strict_json import Json
from backbone import Backbone, SiteWeights, flops_of, reference_logits

SCALE = 0.05  # standard deviation of the weights: strong enough to change every answer


def task_bytes(
    backbone: Backbone, widths: Sequence[int], *, classes: int, seed: int, initial_widths: Sequence[int] | None = None
) -> bytes:
    """A task adapter file with hidden size `widths[i]` at site i."""
    rng = np.random.default_rng(seed)
    sites = {
        site.index: SiteArrays(_weights(rng, width, site.dim), _weights(rng, site.dim, width))
        for site, width in zip(backbone.sites, widths, strict=True)
        if width
    }
    adapter = TaskAdapter(
        manifest=manifest_of(backbone, widths, classes=classes, initial_widths=initial_widths or widths, sites=sites),
        sites=sites,
        head_weight=_weights(rng, classes, backbone.feature_dim),
        head_bias=_weights(rng, classes),
        golden_image=rng.integers(0, 256, (40, 56, 3), dtype=np.uint8),
        golden_logits=np.zeros(classes, np.float32),
    )
    return pack(replace(adapter, golden_logits=_golden(backbone, adapter)))


def task_adapter(
    backbone: Backbone, widths: Sequence[int], *, classes: int, seed: int, initial_widths: Sequence[int] | None = None
) -> TaskAdapter:
    """As `task_bytes`, read back."""
    return unpack(task_bytes(backbone, widths, classes=classes, seed=seed, initial_widths=initial_widths))


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rng.normal(0, SCALE, shape).astype(np.float32)


def _golden(backbone: Backbone, adapter: TaskAdapter) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    sites = {
        index: SiteWeights(torch.tensor(site.down), torch.tensor(site.up)) for index, site in adapter.sites.items()
    }
    head = (torch.tensor(adapter.head_weight), torch.tensor(adapter.head_bias))
    return reference_logits(backbone, sites, head, adapter.golden_image)


def manifest_of(
    backbone: Backbone,
    widths: Sequence[int],
    *,
    classes: int,
    initial_widths: Sequence[int],
    sites: Mapping[int, SiteArrays],
) -> Manifest:
    """The manifest of a task with random weights."""
    provenance = Provenance(
        method="random",
        dataset="none",
        seed=0,
        cycles=1,
        epochs=0,
        initial_compression=32.0,
        target_compression=32.0,
        pruning_fraction=0.5,
        initial_widths=tuple(initial_widths),
        adapter_parameters=sum(site.down.size + site.up.size for site in sites.values()),
        head_parameters=classes * (backbone.feature_dim + 1),
        flops=flops_of(backbone, widths, classes),
        metrics={},
    )
    return Manifest(
        backbone=BackboneRef(backbone.name, backbone.fingerprint),
        widths=tuple(widths),
        labels=tuple(f"class {index}" for index in range(classes)),
        preprocessing=cast("Mapping[str, Json]", backbone.preprocessing.as_dict()),
        preprocessing_sha256=backbone.preprocessing.sha256,
        provenance=provenance,
    )
