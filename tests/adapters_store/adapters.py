"""Small task adapters to start tests from: every figure in them is made up, none of the checks is switched off."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_store import BackboneRef, Manifest, Provenance, SiteArrays, TaskAdapter, hash_preprocessing
from adapters_store.artifact import Weights
from adapters_store.strict_json import Json

PREPROCESSING: dict[str, Json] = {"size": [64, 64], "crop_pct": 1.0, "interpolation": "bicubic", "mean": [0.5, 0.25]}
INPUT_SIZE = 8  # M, at every site
FEATURES = 6  # F


def make_provenance(widths: Sequence[int], classes: int) -> Provenance:
    return Provenance(
        method="mimi",
        dataset="made up",
        seed=7,
        cycles=3,
        epochs=15,
        initial_compression=32.0,
        target_compression=128.0,
        pruning_fraction=0.5,
        initial_widths=tuple(max(width, 4) for width in widths),
        adapter_parameters=2 * INPUT_SIZE * sum(widths),
        head_parameters=classes * FEATURES + classes,
        flops=123_456_789,
        metrics={"validation_top1": 0.75},
    )


def make_manifest(widths: Sequence[int] = (2, 0, 1), labels: Sequence[str] = ("cat", "dog")) -> Manifest:
    return Manifest(
        backbone=BackboneRef("swin_made_up", "ab" * 32),
        widths=tuple(widths),
        labels=tuple(labels),
        preprocessing=PREPROCESSING,
        preprocessing_sha256=hash_preprocessing(PREPROCESSING),
        provenance=make_provenance(widths, len(labels)),
    )


def make_adapter(manifest: Manifest | None = None, *, dtype: type[np.floating[Any]] = np.float32) -> TaskAdapter:
    """Return a valid adapter for a manifest; its values depend on nothing but the shapes."""
    manifest = make_manifest() if manifest is None else manifest
    random = np.random.default_rng(0)
    classes = len(manifest.labels)

    def weights(*shape: int) -> Weights:
        return random.standard_normal(shape).astype(dtype)

    return TaskAdapter(
        manifest=manifest,
        sites={
            site: SiteArrays(weights(manifest.widths[site], INPUT_SIZE), weights(INPUT_SIZE, manifest.widths[site]))
            for site in manifest.live_sites
        },
        head_weight=weights(classes, FEATURES),
        head_bias=weights(classes),
        golden_image=random.integers(0, 256, (5, 4, 3), dtype=np.uint8),
        golden_logits=random.standard_normal(classes).astype(np.float32),
    )
