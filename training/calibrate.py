"""Calibrates a trained task: its temperature, its thresholds, and the images that it knows.

It is measured on validation images, which no weight was trained on. The class means and the covariance of features come
from training images, because there are more of them; so does a part of the [temperature](temperature.py). Test images
are never looked at.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from adapters_store import Answers, Head, Known, KnownArrays, Validation
from adapters_store.answers import MOST_CELLS, SIGMOID, SOFTMAX
from backbone import known_features, unknown_scores
from training.frozen import autocast
from training.metrics import Flags, Floats, average_precision, best_threshold, precision_and_recall
from training.model import TaskModel
from training.pixels import PixelSet
from training.prepare import Prepared
from training.temperature import (
    DIGITS,
    MOST_FITTED,
    cross_fitted_temperature,
    fitted_temperature,
    probabilities_of,
    weighed_temperature,
)

RANK = 8  # directions of the features: more find fewer foreign images, see docs/results.md
MOST_TRAINING = 2048  # training images for the means and the covariance
_FLOOR = 1e-4  # least variance in a direction, in units of the mean variance


@dataclass(frozen=True, slots=True)
class Reading:
    """The calibration in a task adapter file."""

    answers: Answers
    arrays: KnownArrays | None


@dataclass(frozen=True, slots=True)
class Rules:
    """Options of the calibration.

    Attributes:
        true_positive_rate: share of the task's own held-back images that count as known.
        precision: of each label at its threshold; 0: the highest F1.
        rank: directions of the features that are described one by one.
    """

    true_positive_rate: float = 0.95
    precision: float = 0.0
    rank: int = RANK


@dataclass(frozen=True, slots=True)
class Outputs:
    """A model's outputs for images: features (n, F) and logits (n, K); and the images' true labels (n, K)."""

    features: NDArray[np.float32]
    logits: Floats
    truth: Flags


def calibrate(model: TaskModel, prepared: Prepared, rules: Rules | None = None) -> Reading | None:
    """Measure how the answers of `model` are read; its weights should be those of the file.

    Returns None for a task of exclusive classes without validation images: nothing can be measured.
    """
    activation = SIGMOID if prepared.multilabel else SOFTMAX
    if not len(prepared.validation):
        if activation == SOFTMAX:
            return None
        return Reading(unmeasured(len(prepared.labels)), None)
    train = outputs_of(model, sample(prepared.train))
    held, prior = outputs_of(model, prepared.validation), None
    if activation == SOFTMAX and len(prepared.train) <= MOST_FITTED:
        whole = len(train.truth) == len(prepared.train)
        every = train if whole else outputs_of(model, prepared.train)
        prior = cross_fitted_temperature(every.features, every.truth, head_of(model), prepared.groups)
    return reading_of(train, held, activation, rules or Rules(), prior=prior)


def head_of(model: TaskModel) -> Head:
    """The head's numbers."""
    return Head(*(values.detach().cpu().double().numpy() for values in (model.head.weight, model.head.bias)))


def unmeasured(labels: int) -> Answers:
    """How the answers of independent labels are read where nothing was measured."""
    return Answers(SIGMOID, 1.0, (0.5,) * labels, None, None)


def reading_of(train: Outputs, held: Outputs, activation: str, rules: Rules, *, prior: float | None = None) -> Reading:
    """As `calibrate`, from outputs; `held` are those of validation images, `prior` is what cross-fitting has given."""
    if activation == SOFTMAX:
        temperature = weighed_temperature(held.logits, held.truth, prior)
    else:
        temperature = fitted_temperature(held.logits, held.truth, activation)
    probabilities = probabilities_of(held.logits, activation, temperature)
    offered = probabilities if activation == SIGMOID else _best_only(probabilities)
    columns = list(zip(offered.T, held.truth.T, strict=True))
    thresholds = np.array([best_threshold(scores, truth, rules.precision) for scores, truth in columns])
    arrays, known = known_of(train, held, activation, rules)
    answers = Answers(
        activation=activation,
        temperature=temperature,
        thresholds=_rounded(thresholds),
        known=known,
        validation=_figures(probabilities, offered >= thresholds, held.truth, activation),
    )
    return Reading(answers, arrays)


def sample(images: PixelSet) -> PixelSet:
    """At most `MOST_TRAINING` images drawn by one seed; a class keeps its first image at least."""
    if len(images) <= MOST_TRAINING:
        return images
    rows = np.random.RandomState(0).permutation(len(images))[:MOST_TRAINING]
    if images.targets.ndim == 1:
        rows = np.union1d(rows, np.unique(images.targets.cpu().numpy(), return_index=True)[1])
    chosen = torch.from_numpy(rows).to(images.targets.device)
    return PixelSet(images.pixels[chosen.to(images.pixels.device)], images.targets[chosen])


@torch.inference_mode()
def outputs_of(model: TaskModel, images: PixelSet, *, batch_size: int = 64) -> Outputs:
    """Features and logits without augmentation, in float32."""
    model.eval()
    device, normalize = model.head.weight.device, model.backbone.preprocessing.normalize
    found = []
    for pixels in images.pixels.split(batch_size):
        with autocast(device, model.precision):
            found.append(model.inferred(normalize(pixels.to(device))).float())
    features = torch.cat(found)
    logits = torch.nn.functional.linear(features, model.head.weight.float(), model.head.bias.float())
    targets = images.targets.cpu()
    truth = targets.bool() if targets.ndim > 1 else torch.nn.functional.one_hot(targets, logits.shape[1]).bool()
    return Outputs(features.cpu().numpy(), logits.cpu().double().numpy(), truth.numpy())


def known_of(train: Outputs, held: Outputs, activation: str, rules: Rules) -> tuple[KnownArrays, Known]:
    """The description of the training features, and the threshold of held-back ones; arrays as float16 has them."""
    features = train.features.astype(np.float64)
    members = train.truth if activation == SOFTMAX else np.ones((len(features), 1), np.bool_)
    mean = features.mean(0)
    variances, directions = np.linalg.eigh(np.cov(features.T, bias=True))
    rank = min(rules.rank, len(mean) - 1)
    basis = directions[:, ::-1][:, :rank].T  # (r, F), largest variance first
    residual = max(float(variances[:-rank].mean()), _FLOOR * float(variances.mean()), 1e-9)
    along = (features - mean) @ basis.T
    centres = _centres(along, members)
    apart = along - centres[members.argmax(1)]
    within = apart.T @ apart / len(apart) + _FLOOR * residual * np.eye(rank)
    factor = np.linalg.cholesky(np.linalg.inv(within))
    arrays = KnownArrays(*(_half(array) for array in (mean, basis, np.tril(factor), centres @ factor)))
    distances = unknown_scores(held.features, known_features(arrays, residual, 1.0))
    threshold = float(np.quantile(distances, rules.true_positive_rate, method="higher"))
    return arrays, Known(max(threshold, 1e-9), rules.true_positive_rate, residual)


def _centres(along: Floats, members: Flags) -> Floats:
    """The mean of each class (C, r); a class without an image gets that of another one, which adds nothing."""
    counts = members.sum(0)
    sums = members.T.astype(np.float64) @ along
    centres: Floats = sums / np.maximum(1, counts)[:, None]
    centres[counts == 0] = centres[int(counts.argmax())]
    return centres


def _half(array: Floats) -> NDArray[np.float16]:
    most = float(np.finfo(np.float16).max)
    return array.clip(-most, most).astype(np.float16)


def _best_only(probabilities: Floats) -> Floats:
    """The best label's probability in its place, 0 elsewhere."""
    best = probabilities.argmax(1)
    offered = np.zeros_like(probabilities)
    rows = np.arange(len(best))
    offered[rows, best] = probabilities[rows, best]
    return offered


def _figures(probabilities: Floats, given: Flags, truth: Flags, activation: str) -> Validation:
    precision, recall = precision_and_recall(given, truth)
    columns = zip(probabilities.T, truth.T, strict=True)
    return Validation(
        images=len(truth),
        precision=_rounded(precision),
        recall=_rounded(recall),
        average_precision=_rounded(np.array([average_precision(*column) for column in columns])),
        confusion=() if activation == SIGMOID else _confusion(truth.argmax(1), probabilities.argmax(1)),
    )


def _confusion(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """The cells that are not zero; none if they are too many for a file."""
    cells, counts = np.unique(np.stack([true, predicted], 1), axis=0, return_counts=True)
    found = tuple((*cell, count) for cell, count in zip(cells.tolist(), counts.tolist(), strict=True))
    return found if len(found) <= MOST_CELLS else ()


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())
