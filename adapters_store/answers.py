"""The calibration of a task: activation, temperature, thresholds, and the images that count as known.

All of it is measured on validation images. The arrays of `KnownArrays` lie beside the head; see `artifact`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.strict_json import shown

SOFTMAX, SIGMOID = "softmax", "sigmoid"
KNOWN_METHOD = "mahalanobis"  # in the described directions, with the residual outside of them
HOTTEST = 1000.0  # temperature; the coldest is its inverse
SMALLEST = 1e-12  # threshold of a distance, or variance; the largest is its inverse
HIGHEST_RANK = 64  # directions of the features that a file describes one by one
MOST_CELLS = 4096  # cells of a confusion matrix that are not zero
_CELL = 3  # numbers: true class, predicted class, images
_ORTHONORMAL = 0.02  # largest error of a product of two directions; float16 gives up to 0.002

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Known:
    """Which images count as known: those whose distance is at most `threshold`; see `backbone.known`."""

    threshold: float
    true_positive_rate: float  # share of the task's own held-back images at or below the threshold
    residual_variance: float  # mean variance of the features outside of the described directions


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures of the task's own validation images, for each label in order.

    `precision` and `recall` are those of the labels given at the thresholds. The confusion matrix is sparse: (true
    class, predicted class, images) in order, cells of zero left out. It is empty for sigmoid, and where more than
    `MOST_CELLS` cells are not zero.
    """

    images: int
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    average_precision: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """From logits to an answer: divide by `temperature`, apply `activation`, compare with `thresholds`.

    With softmax a threshold is for the probability of the best label, with sigmoid for each label by itself.
    """

    activation: str
    temperature: float
    thresholds: tuple[float, ...]  # for each label
    known: Known | None
    validation: Validation | None


class KnownArrays(NamedTuple):
    """The arrays behind `Known`: C is the number of classes with softmax, else 1; r is at most `HIGHEST_RANK`."""

    mean: Array  # (F,), of all features
    basis: Array  # (r, F), orthonormal directions
    factor: Array  # (r, r), lower triangular: the Cholesky factor of the precision within a class
    centres: Array  # (C, r), of the classes: projected on the basis, then multiplied with the factor


def check_answers(answers: Answers, classes: int) -> None:
    """Check the record by itself.

    Raises:
        InvalidAnswers: a value is out of range, or the record does not fit the number of labels.
    """
    if answers.activation not in (SOFTMAX, SIGMOID):
        raise errors.InvalidAnswers(f"activation {shown(answers.activation)} is neither {SOFTMAX!r} nor {SIGMOID!r}")
    if not 1 / HOTTEST <= answers.temperature <= HOTTEST:
        raise errors.InvalidAnswers(f"temperature {answers.temperature} is not from {1 / HOTTEST} to {HOTTEST}")
    _check_shares("thresholds", answers.thresholds, classes)
    if answers.known is not None:
        _check_known(answers.known)
    if answers.validation is not None:
        _check_validation(answers.validation, classes)
        if answers.activation == SIGMOID and answers.validation.confusion:
            raise errors.InvalidAnswers("labels that are independent of each other have no confusion matrix")


def _check_known(known: Known) -> None:
    if not 0 < known.true_positive_rate < 1:
        raise errors.InvalidAnswers(f"a true positive rate of {known.true_positive_rate} is not between 0 and 1")
    for name in ("threshold", "residual_variance"):
        if not SMALLEST <= getattr(known, name) <= 1 / SMALLEST:
            raise errors.InvalidAnswers(f"known.{name} is not from {SMALLEST:g} to {1 / SMALLEST:g}")


def _check_validation(validation: Validation, classes: int) -> None:
    for name in ("precision", "recall", "average_precision"):
        _check_shares(f"validation.{name}", getattr(validation, name), classes)
    cells = validation.confusion
    if len(cells) > MOST_CELLS:
        raise errors.InvalidAnswers(f"a confusion matrix has at most {MOST_CELLS} cells that are not zero")
    if any(len(cell) != _CELL or max(cell[:2]) >= classes or not cell[2] for cell in cells):
        raise errors.InvalidAnswers("a cell of the confusion matrix is two classes and a number of images above 0")
    places = [cell[:2] for cell in cells]
    if places != sorted(set(places)):
        raise errors.InvalidAnswers("the cells of the confusion matrix are in order, each once")
    if cells and sum(cell[2] for cell in cells) != validation.images:
        raise errors.InvalidAnswers("the confusion matrix does not count every validation image once")


def _check_shares(name: str, values: tuple[float, ...], classes: int) -> None:
    if len(values) != classes:
        raise errors.InvalidAnswers(f"{name}: {len(values)} values for {classes} labels")
    if not all(0 <= value <= 1 for value in values):
        raise errors.InvalidAnswers(f"{name}: a value is not from 0 to 1")


def check_known(arrays: KnownArrays, *, features: int, centres: int) -> None:
    """Check the arrays, which are finite, against the head's F and the number of centres.

    Raises:
        WrongShape: they do not fit each other.
        NotOrthonormal: the directions are not unit vectors at right angles.
        NotPositiveDefinite: the factor is not lower triangular with a positive diagonal.
    """
    rank = arrays.basis.shape[0]
    expected = ((features,), (rank, features), (rank, rank), (centres, rank))
    found = tuple(array.shape for array in arrays)
    if found != expected or rank > min(HIGHEST_RANK, features):
        raise errors.WrongShape(f"the arrays of what is known are {found}, not {expected}")
    basis, factor = arrays.basis.astype(np.float64), arrays.factor.astype(np.float64)
    if np.abs(basis @ basis.T - np.eye(rank)).max() > _ORTHONORMAL:
        raise errors.NotOrthonormal("the directions are not unit vectors at right angles")
    if np.triu(factor, 1).any() or factor.diagonal().min() <= 0:
        raise errors.NotPositiveDefinite("the factor is not lower triangular with a positive diagonal")
