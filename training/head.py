"""A head in closed form on fixed features, and the statistics by which a class can be added later.

Features are those of a task's own adapters, or of the bare backbone. The penalty and the scale of the logits are
chosen on validation images. It takes one pass over the images and one system of linear equations.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from adapters_store import Head, Statistics, StatisticsArrays, pack, unpack
from adapters_store.answers import SOFTMAX
from adapters_store.extending import extended
from adapters_store.statistics import MOST_FEATURES, bounded, closed_head, statistics_of
from backbone import Backbone
from training.calibrate import Outputs, calibrate, outputs_of
from training.errors import BadConfig
from training.export import Origin, from_file, golden_outputs, on_cpu, to_file, with_answers
from training.fit import evaluate
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.pixels import PixelSet
from training.prepare import Prepared
from training.temperature import fitted_temperature

PENALTIES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)  # in units of the mean variance of a feature
UNCHOSEN = 0.1  # the penalty where all images are trained on


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A head in closed form, and what it was computed from."""

    head: Head
    statistics: Statistics
    arrays: StatisticsArrays


def fit_head(model: AdaptedModel, prepared: Prepared) -> ClosedForm:
    """The head on the features of `model`, which stays as it is.

    Raises:
        BadConfig: the data set is not one of exclusive classes with images of each, or features are too many.
    """
    check_data(prepared, model.backbone.feature_dim)
    held = outputs_of(model, prepared.validation) if len(prepared.validation) else None
    return fit_outputs(outputs_of(model, prepared.train), held)


def fit_outputs(train: Outputs, held: Outputs | None) -> ClosedForm:
    """As `fit_head`, from outputs: only their features and truths are read."""
    counts, arrays = statistics_of(train.features, train.truth.argmax(1), train.truth.shape[1])
    if held is None:
        chosen, scale = UNCHOSEN, 1.0
    else:
        scores = {each: _logits(closed_head(counts, arrays, each, 1.0), held) for each in PENALTIES}
        chosen = max(PENALTIES, key=lambda each: _accuracy(scores[each], held))
        first = fitted_temperature(scores[chosen], held.truth, SOFTMAX)  # within a range, hence twice
        scale = 1 / (first * fitted_temperature(scores[chosen] / first, held.truth, SOFTMAX))
    found = Statistics(counts, chosen, round(scale, 6))
    return ClosedForm(bounded(closed_head(counts, arrays, chosen, found.scale)), found, arrays)


def head_file(prepared: Prepared, backbone: Backbone, options: MiMiOptions) -> bytes:
    """A complete task adapter file without adapters: a head on the features of the bare backbone, with statistics.

    Raises:
        BadConfig: see `fit_head`.
    """
    none = (0,) * len(backbone.sites)
    model = AdaptedModel(backbone, none, len(prepared.labels))
    model.to(next(backbone.parameters()).device)
    found = fit_head(model, prepared)
    parameters = model.head.weight, model.head.bias
    for parameter, values in zip(parameters, found.head, strict=True):
        parameter.data = torch.from_numpy(values).to(parameter)
    metrics = {name: evaluate(model, images) for name, images in _splits(prepared)}
    origin = Origin("head", options, 0, 0, initial_widths=none, metrics=metrics)
    data = to_file(model, prepared, origin, backbone)
    data = with_answers(data, calibrate(from_file(data, backbone), prepared), backbone)
    adapter = unpack(data)
    made = replace(adapter.manifest.provenance, initial_compression=0.0, target_compression=0.0, pruning_fraction=0.0)
    manifest = replace(adapter.manifest, provenance=made, statistics=found.statistics)
    return pack(replace(adapter, manifest=manifest, statistics=found.arrays))


def _splits(prepared: Prepared) -> list[tuple[str, PixelSet]]:
    found = [("validation_top1", prepared.validation), ("test_top1", prepared.test)]
    return [(name, images) for name, images in found if images is not None and len(images)]


def check_data(prepared: Prepared, features: int) -> None:
    """Refuse data or a backbone that statistics cannot be kept of.

    Raises:
        BadConfig: it says why.
    """
    if prepared.multilabel:
        raise BadConfig("a head in closed form is for exclusive classes: these images may have several labels")
    counts = np.bincount(prepared.train.targets.cpu().numpy(), minlength=len(prepared.labels))
    if not counts.all():
        raise BadConfig(f"no training image has the label {prepared.labels[int(counts.argmin())]!r}")
    if features > MOST_FEATURES:
        raise BadConfig(f"the backbone has {features} features, statistics are kept of at most {MOST_FEATURES}")


def with_statistics(data: bytes, prepared: Prepared, backbone: Backbone) -> bytes:
    """The task adapter file `data` with the statistics of its features; its head and answers stay as they are.

    Raises:
        BadConfig: see `check_data`, or the labels are others.
    """
    adapter = unpack(data)
    if adapter.manifest.labels != prepared.labels:
        raise BadConfig("the data set has other labels than the task adapter file, or another order of them")
    found = fit_head(from_file(data, backbone), prepared)
    manifest = replace(adapter.manifest, statistics=found.statistics)
    return pack(replace(adapter, manifest=manifest, statistics=found.arrays))


def add_class(data: bytes, label: str, images: PixelSet, backbone: Backbone) -> bytes:
    """The task adapter file with one more class, whose images are the only ones that are read.

    Raises:
        NotExtensible, ArtifactError: see `adapters_store.extending`.
    """
    adapter = unpack(data)
    model = from_file(data, backbone)
    features = outputs_of(model, images).features
    return pack(extended(adapter, label, features, golden_outputs(on_cpu(backbone), adapter).features))


def _logits(head: Head, held: Outputs) -> np.ndarray:
    found: np.ndarray = held.features @ head.weight.T + head.bias
    return found


def _accuracy(logits: np.ndarray, held: Outputs) -> float:
    return float((logits.argmax(1) == held.truth.argmax(1)).mean())
