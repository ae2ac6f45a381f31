"""From logits to an answer, by the calibration in the task's file: probabilities, and the labels above their
thresholds.

A file without such a record is read as softmax at temperature 1; it gives no label and calls no image unknown.
"""

import numpy as np

from adapters_store import Manifest
from adapters_store.answers import SIGMOID


def is_sigmoid(manifest: Manifest) -> bool:
    """Whether an image may have any number of the task's labels."""
    return manifest.answers is not None and manifest.answers.activation == SIGMOID


def probabilities_of(logits: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Probabilities of logits (..., K), calibrated where the file has a temperature; float64."""
    scaled = logits.astype(np.float64)
    if manifest.answers is not None:
        scaled /= manifest.answers.temperature
    return sigmoid(scaled) if is_sigmoid(manifest) else softmax(scaled)


def given(probabilities: np.ndarray, manifest: Manifest, threshold: float | None = None) -> np.ndarray | None:
    """Which labels (..., K) are given: those that reach their threshold; with softmax at most the best one.

    Args:
        probabilities: (..., K).
        manifest: of the task.
        threshold: for all labels, in the place of those in the file.

    Returns:
        None if neither the file nor the request has a threshold.
    """
    limits: float | np.ndarray
    if threshold is not None:
        limits = threshold
    elif manifest.answers is not None:
        limits = np.array(manifest.answers.thresholds)
    else:
        return None
    reached: np.ndarray = probabilities >= limits
    if is_sigmoid(manifest):
        return reached
    best = np.zeros_like(reached)
    np.put_along_axis(best, probabilities.argmax(-1)[..., None], True, -1)
    found: np.ndarray = reached & best
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (..., K) that add up to 1, in float64."""
    exact = logits.astype(np.float64)
    exponents = np.exp(exact - exact.max(-1, keepdims=True))
    probabilities: np.ndarray = exponents / exponents.sum(-1, keepdims=True)
    return probabilities


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """A probability for each label by itself (..., K), in float64."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
