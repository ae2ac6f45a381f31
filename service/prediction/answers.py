"""From logits to an answer, by the calibration in the task's file: probabilities, and the labels above their
thresholds.

A file without such a record is read as softmax at temperature 1; it gives no label and calls no image unknown.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters_store import Manifest
from adapters_store.answers import SIGMOID

_SORTED_HERE = 256  # labels that Python sorts in less time than a change of threads takes


def is_sigmoid(manifest: Manifest) -> bool:
    """Whether an image may have any number of the task's labels."""
    return manifest.answers is not None and manifest.answers.activation == SIGMOID


def probabilities_of(logits: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Probabilities of logits (..., K), calibrated where the file has a temperature; float64."""
    scaled = logits.astype(np.float64)
    if manifest.answers is not None:
        scaled /= manifest.answers.temperature
    return sigmoid(scaled) if is_sigmoid(manifest) else softmax(scaled)


class Ranking(NamedTuple):
    """The labels of one image, by their numbers.

    Attributes:
        probabilities: of all labels, in the order of the file.
        order: all labels, the most probable first.
        given: those of `order` that reach their threshold; None: there is no threshold.
    """

    probabilities: list[float]
    order: list[int]
    given: list[int] | None


def rank(logits: np.ndarray, manifest: Manifest, threshold: float | None = None) -> Ranking:
    """The labels of one image by its logits (K,), and those that are given as `given` says.

    For one image, lists are several times as fast as arrays.
    """
    probabilities = probabilities_of(logits, manifest).tolist()
    order = _descending(logits)  # by logit, because many probabilities round to zero
    limits = _limits(manifest, threshold)
    if limits is None:
        return Ranking(probabilities, order, None)
    candidates = order if is_sigmoid(manifest) else order[:1]
    return Ranking(probabilities, order, [i for i in candidates if probabilities[i] >= limits[i]])


def _descending(logits: np.ndarray) -> list[int]:
    """The numbers of all labels, the largest logit first.

    numpy sorts without the lock of the interpreter, and waits for the engine's thread to get it back.
    """
    if len(logits) > _SORTED_HERE:
        order: list[int] = (-logits).argsort(kind="stable").tolist()
        return order
    return sorted(range(len(logits)), key=(-logits).tolist().__getitem__)


def given(probabilities: np.ndarray, manifest: Manifest, threshold: float | None = None) -> np.ndarray | None:
    """Which labels (..., K) are given: those that reach their threshold; with softmax at most the best one.

    Args:
        probabilities: (..., K).
        manifest: of the task.
        threshold: for all labels, in the place of those in the file.

    Returns:
        None if neither the file nor the request has a threshold.
    """
    limits = _limits(manifest, threshold)
    if limits is None:
        return None
    reached: np.ndarray = probabilities >= np.array(limits)
    if is_sigmoid(manifest):
        return reached
    best = np.zeros_like(reached)
    np.put_along_axis(best, probabilities.argmax(-1)[..., None], True, -1)
    found: np.ndarray = reached & best
    return found


def _limits(manifest: Manifest, threshold: float | None) -> Sequence[float] | None:
    """The threshold of each label; None if neither the file nor the request has one."""
    if threshold is not None:
        return (threshold,) * len(manifest.labels)
    return None if manifest.answers is None else manifest.answers.thresholds


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (..., K) that add up to 1, in float64."""
    exact = np.asarray(logits, np.float64)
    exponents = np.exp(exact - np.maximum.reduce(exact, -1, keepdims=True))
    probabilities: np.ndarray = exponents / np.add.reduce(exponents, -1, keepdims=True)
    return probabilities


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """A probability for each label by itself (..., K), in float64."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
