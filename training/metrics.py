"""Figures of answers: calibration error, average precision, thresholds, and the separation of two sets by a score.

Plain NumPy on scores and truths; knows no model and no file.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

BINS = 15
UNMEASURED = 0.5  # threshold of a label without evidence


def calibration_error(confidences: Floats, right: Flags, bins: int = BINS) -> float:
    """Expected calibration error: mean |confidence - accuracy| over bins of equal width, weighted by their answers."""
    place = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, confidences - right, minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(confidences)))


def chance_errors(confidences: Floats, *, draws: int = 200, seed: int = 0) -> tuple[float, float]:
    """The calibration error that a perfectly calibrated classifier of these confidences has by chance.

    Returns:
        The mean, and the value that 95 % of draws do not exceed.
    """
    generator, images = np.random.default_rng(seed), len(confidences)
    found = [calibration_error(confidences, generator.random(images) < confidences) for _ in range(draws)]
    return float(np.mean(found)), float(np.quantile(found, 0.95))


def average_precision(scores: Floats, truth: Flags) -> float:
    """Mean precision at each image of the label, best score first; equal scores count as one step; 0 without images."""
    if not truth.any():
        return 0.0
    ends, true = _steps(scores, truth)
    gained = np.diff(true, prepend=0)
    return float((gained * true / (ends + 1)).sum() / true[-1])


def mean_average_precision(scores: Floats, truth: Flags) -> float:
    """Mean over the labels that any image has (mAP); scores and truth are (n, K)."""
    found = [average_precision(*column) for column in zip(scores.T, truth.T, strict=True) if column[1].any()]
    return float(np.mean(found)) if found else 0.0


def area_under_roc(own: Floats, foreign: Floats) -> float:
    """The chance that a foreign image scores above an own one; equal scores count half."""
    both = np.concatenate([own, foreign])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]
    return float((ranks[len(own) :].mean() - (len(foreign) + 1) / 2) / len(own))


def best_threshold(scores: Floats, truth: Flags, precision: float = 0.0) -> float:
    """From which score on a label is given: where F1 is highest, or the lowest with at least this precision.

    Args:
        scores: (n,) probabilities; 0 if the label cannot be given.
        truth: (n,) whether the image has the label.
        precision: that must be reached, 0: none. F1 decides where no threshold reaches it.

    Returns:
        Half-way to the next lower score. `UNMEASURED` where no image has the label, or none could be given it.
    """
    given = scores > 0
    if not truth[given].any():
        return UNMEASURED
    ends, true = _steps(scores[given], truth[given])
    reached = np.flatnonzero(true / (ends + 1) >= precision) if precision else np.empty(0, np.int64)
    f1 = 2 * true / (ends + 1 + truth.sum())
    cut = ends[reached[-1]] if len(reached) else ends[int(f1.argmax())]
    ordered = np.append(np.sort(scores[given])[::-1], 0.0)
    return float((ordered[cut] + ordered[cut + 1]) / 2)


def precision_and_recall(given: Flags, truth: Flags) -> tuple[Floats, Floats]:
    """Of each label, from which images (n, K) were given it and which have it; 0 if nothing was given, or there."""
    both = (given & truth).sum(0)
    return both / np.maximum(1, given.sum(0)), both / np.maximum(1, truth.sum(0))


def _steps(scores: Floats, truth: Flags) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the last image of each different score, best first, and how many images up to it are true."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    return ends, np.cumsum(truth[order])[ends]
