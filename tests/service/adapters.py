"""Small task adapters made on the spot: random weights, but true golden samples, through the real writer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from adapters_store import (
    Answers,
    BackboneRef,
    Known,
    KnownArrays,
    Manifest,
    Provenance,
    SiteArrays,
    TaskAdapter,
    digest,
    pack,
)
from adapters_store.answers import SOFTMAX
from backbone import (
    Backbone,
    SiteWeights,
    adapter_flops,
    flops_of,
    known_features,
    load_backbone,
    reference_logits,
    unknown_scores,
)


@cache
def bundled_backbone() -> Backbone:
    """The backbone that ships, loaded once for all tests."""
    torch.set_num_threads(1)  # servers, references and clients all compute at once here
    return load_backbone()


@dataclass(frozen=True, slots=True)
class Made:
    """A task adapter file, and what it was made of."""

    data: bytes
    adapter: TaskAdapter

    @property
    def sha256(self) -> str:
        return digest(self.data)

    def logits(self, image: np.ndarray) -> np.ndarray:
        """The reference forward's logits for an image uint8 (h, w, 3)."""
        return _reference(self.adapter.sites, self.adapter.head_weight, self.adapter.head_bias, image)


def make(
    seed: int = 0,
    *,
    classes: int = 4,
    live: Sequence[int] = (3, 7),
    width: int = 2,
    activation: str = "",
    threshold: float = 1e6,
) -> Made:
    """A task adapter with `width` neurons at each live site.

    With an `activation` it says how its answers are read: at temperature 2, from 0.25 on, and images are known whose
    distance is at most `threshold`.
    """
    backbone, random = bundled_backbone(), np.random.default_rng(seed)
    sites = {index: _site(random, width, backbone.sites[index].dim) for index in live}
    weight = random.normal(size=(classes, backbone.feature_dim)).astype(np.float32)
    bias = random.normal(size=classes).astype(np.float32)
    image = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    widths = tuple(width if index in sites else 0 for index in range(len(backbone.sites)))
    labels = tuple(f"class {index}" for index in range(classes))
    adapter = TaskAdapter(
        manifest=manifest(widths, labels, description=f"made with seed {seed}"),
        sites=sites,
        head_weight=weight,
        head_bias=bias,
        golden_image=image,
        golden_logits=_reference(sites, weight, bias, image),
    )
    if activation:
        adapter = with_answers(adapter, activation, threshold)
    return Made(pack(adapter), adapter)


def with_answers(adapter: TaskAdapter, activation: str, threshold: float) -> TaskAdapter:
    """The adapter with a made-up description of what it knows, and its true unknown score."""
    classes, size = adapter.head_weight.shape
    random, rank = np.random.default_rng(classes), 3
    centres = (classes if activation == SOFTMAX else 1, rank)
    arrays = KnownArrays(
        mean=random.standard_normal((size,), np.float32),
        basis=np.eye(rank, size, dtype=np.float32),
        factor=np.eye(rank, dtype=np.float32) / 2,
        centres=random.standard_normal(centres, np.float32),
    )
    known = Known(threshold, 0.95, residual_variance=0.5)
    answers = Answers(activation, 2.0, (0.25,) * classes, known, None)
    features = _reference(
        adapter.sites, np.eye(size, dtype=np.float32), np.zeros(size, np.float32), adapter.golden_image
    )
    scores = unknown_scores(features[None], known_features(arrays, known.residual_variance, known.threshold))
    return replace(adapter, manifest=replace(adapter.manifest, answers=answers), known=arrays, golden_score=scores)


def manifest(widths: tuple[int, ...], labels: tuple[str, ...], *, description: str = "") -> Manifest:
    """A manifest for the bundled backbone."""
    backbone = bundled_backbone()
    return Manifest(
        backbone=BackboneRef(backbone.name, backbone.fingerprint),
        widths=widths,
        labels=labels,
        preprocessing=backbone.preprocessing.as_dict(),  # type: ignore[arg-type]
        preprocessing_sha256=backbone.preprocessing.sha256,
        provenance=_provenance(backbone, widths, len(labels)),
        description=description,
    )


def _provenance(backbone: Backbone, widths: tuple[int, ...], classes: int) -> Provenance:
    initial = tuple(site.dim // 8 for site in backbone.sites)
    return Provenance(
        method="mimi",
        dataset="random",
        seed=0,
        cycles=3,
        epochs=9,
        initial_compression=32.0,
        target_compression=512.0,
        pruning_fraction=0.5,
        initial_widths=initial,
        adapter_parameters=sum(2 * site.dim * n for site, n in zip(backbone.sites, widths, strict=True)),
        head_parameters=classes * (backbone.feature_dim + 1),
        flops=flops_of(backbone, widths, classes),
        metrics={"validation_top1": 0.5},
    )


def saved_flops(made: Made) -> int:
    """FLOPs less than at the initial widths."""
    backbone, manifest = bundled_backbone(), made.adapter.manifest
    return adapter_flops(backbone, manifest.provenance.initial_widths) - adapter_flops(backbone, manifest.widths)


def _site(random: np.random.Generator, width: int, dim: int) -> SiteArrays:
    scale = dim**-0.5
    down = random.normal(scale=scale, size=(width, dim)).astype(np.float32)
    return SiteArrays(down, random.normal(scale=scale, size=(dim, width)).astype(np.float32))


def _reference(sites: Mapping[int, SiteArrays], weight: np.ndarray, bias: np.ndarray, image: np.ndarray) -> np.ndarray:
    tensors = {
        index: SiteWeights(torch.tensor(np.array(site.down)), torch.tensor(np.array(site.up)))
        for index, site in sites.items()
    }
    head = torch.tensor(np.array(weight)), torch.tensor(np.array(bias))
    return reference_logits(bundled_backbone(), tensors, head, image)
