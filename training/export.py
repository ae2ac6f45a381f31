"""From a trained model to a task adapter file, and back to a model with exactly the weights of the file."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from adapters_store import (
    BackboneRef,
    KnownArrays,
    Manifest,
    Provenance,
    SiteArrays,
    TaskAdapter,
    as_stored,
    pack,
    unpack,
)
from backbone import Backbone, Reference, SiteWeights, flops_of, known_features, reference_outputs, unknown_scores
from training.calibrate import Reading, unmeasured
from training.errors import Diverged
from training.frozen import FrozenBackbone
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.prepare import Prepared


@dataclass(frozen=True, slots=True)
class Origin:
    """The provenance of a task, for its manifest."""

    method: str
    options: MiMiOptions
    cycles: int
    epochs: int
    initial_widths: tuple[int, ...]
    metrics: Mapping[str, float]


def to_file(model: AdaptedModel, prepared: Prepared, origin: Origin, backbone: Backbone) -> bytes:
    """The task adapter file of `model`, which was trained on `backbone`; weights in float16, scales folded in.

    The golden logits are computed from the rounded weights of the file.
    """
    model = model.folded()
    draft = TaskAdapter(
        manifest=_manifest(model, prepared, origin),
        sites={i: SiteArrays(_half(a.down), _half(a.up)) for i, a in model.live.items()},
        head_weight=_half(model.head.weight),
        head_bias=_half(model.head.bias),
        golden_image=prepared.golden,
        golden_logits=np.zeros(len(prepared.labels), np.float32),
    )
    written = unpack(pack(draft))
    return pack(replace(written, golden_logits=golden_outputs(on_cpu(backbone), written).logits))


def with_metrics(data: bytes, metrics: Mapping[str, float]) -> bytes:
    """The same file with `metrics` added to its provenance."""
    adapter = unpack(data)
    known = adapter.manifest.provenance
    provenance = replace(known, metrics={**known.metrics, **metrics})
    return pack(replace(adapter, manifest=replace(adapter.manifest, provenance=provenance)))


def with_answers(data: bytes, reading: Reading | None, backbone: Backbone) -> bytes:
    """The same file, which says how its answers are read; None: it says nothing. Adapters and head stay as they are."""
    adapter = unpack(data)
    answers, arrays = (reading.answers, reading.arrays) if reading else (None, None)
    if arrays:
        arrays = KnownArrays(*(array.astype(adapter.head_weight.dtype) for array in arrays))
    draft = replace(adapter, manifest=replace(adapter.manifest, answers=answers), known=arrays)
    return pack(replace(as_stored(draft), golden_score=golden_score(draft, on_cpu(backbone))))


def golden_score(adapter: TaskAdapter, backbone: Backbone) -> np.ndarray | None:
    """The unknown score (1,) of the golden image, by the weights as they are stored; None: the file has none."""
    answers, stored = adapter.manifest.answers, as_stored(adapter)
    if answers is None or answers.known is None or stored.known is None:
        return None
    rules = known_features(stored.known, answers.known.residual_variance, answers.known.threshold)
    return unknown_scores(golden_outputs(backbone, stored).features[None], rules)


def from_file(data: bytes, backbone: Backbone | FrozenBackbone) -> AdaptedModel:
    """A model with the weights of a task adapter file, on the backbone's device.

    Raises:
        ArtifactError: the file is not a valid task adapter.
    """
    adapter = unpack(data)
    model = AdaptedModel(backbone, adapter.manifest.widths, len(adapter.manifest.labels))
    device = model.frozen.device
    for name, parameter in model.task_parameters().items():
        parameter.data = torch.from_numpy(_tensor(adapter, name).astype(np.float32)).to(device)
    return model.to(device)


def golden_outputs(backbone: Backbone, adapter: TaskAdapter) -> Reference:
    """The reference forward's outputs for the adapter's golden image."""
    sites = {i: SiteWeights(_torch(arrays.down), _torch(arrays.up)) for i, arrays in adapter.sites.items()}
    head = (_torch(adapter.head_weight), _torch(adapter.head_bias))
    return reference_outputs(backbone, sites, head, adapter.golden_image)


def _manifest(model: AdaptedModel, prepared: Prepared, origin: Origin) -> Manifest:
    backbone, options = model.backbone, origin.options
    adapters, head = model.parameter_counts()
    provenance = Provenance(
        method=origin.method,
        dataset=prepared.name,
        seed=options.seed,
        cycles=origin.cycles,
        epochs=origin.epochs,
        initial_compression=options.initial_sigma,
        target_compression=options.target_sigma,
        pruning_fraction=options.pruning_fraction,
        initial_widths=origin.initial_widths,
        adapter_parameters=adapters,
        head_parameters=head,
        flops=flops_of(backbone, model.widths, len(prepared.labels)),
        metrics=dict(origin.metrics),
    )
    return Manifest(
        backbone=BackboneRef(backbone.name, backbone.fingerprint),
        widths=model.widths,
        labels=prepared.labels,
        preprocessing=backbone.preprocessing.as_dict(),  # type: ignore[arg-type]
        preprocessing_sha256=backbone.preprocessing.sha256,
        provenance=provenance,
        answers=unmeasured(len(prepared.labels)) if prepared.multilabel else None,
    )


def _half(weights: Tensor) -> np.ndarray:
    """The weights as the file stores them.

    Raises:
        Diverged: a value is beyond float16.
    """
    half = weights.detach().cpu().half()
    if not half.isfinite().all():
        raise Diverged("a weight grew beyond float16, the numbers of the file: choose a smaller learning rate")
    return half.numpy()


def _torch(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.copy())  # the file's arrays are read-only views


def _tensor(adapter: TaskAdapter, name: str) -> np.ndarray:
    """The array of a task parameter's name."""
    match name.split("."):
        case ["sites", index, "down"]:
            return adapter.sites[int(index)].down
        case ["sites", index, _]:
            return adapter.sites[int(index)].up
        case [_, "weight"]:
            return adapter.head_weight
        case _:
            return adapter.head_bias


def on_cpu(backbone: Backbone) -> Backbone:
    """The backbone itself on a CPU, else a copy there: golden logits are defined on the CPU."""
    if next(backbone.parameters()).device.type == "cpu":
        return backbone
    return copy.deepcopy(backbone).to("cpu")
