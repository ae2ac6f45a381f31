"""Sufficient statistics of a task's features: what a head is computed from in closed form, without any image.

Three things are enough: how many images each class has, the mean of its features, and the scatter within the classes.
Images of a new class add to them, and the old images are not needed. The scatter is symmetric, so only its lower
triangle is kept, row by row.

The head is that of linear discriminant analysis with a ridge penalty, the same for all classes (Friedman 1989):
weight = (covariance + penalty)⁻¹ mean, bias = -mean · weight / 2. Against ridge regression onto one-hot targets it
needs the same statistics, and was better: docs/training.md has the figures.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors

MOST_FEATURES = 2048  # of a head with statistics: the scatter then has 8 MiB
LARGEST_PENALTY = 1e6
LARGEST_SCALE = 1e6
LARGEST_WEIGHT = 1e4
_SLACK = 1e-4  # by which float32 may make a scatter less than positive, in units of its mean variance

_LEAST = 1e-12  # variance

Array = NDArray[np.floating[Any]]
Exact = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The manifest's record of the statistics.

    `penalty` is added to every variance, in units of the mean variance of a feature. `scale` turns the scores of the
    head into logits of temperature 1. Both were chosen on validation images.
    """

    counts: tuple[int, ...]  # images of each label
    penalty: float
    scale: float


class StatisticsArrays(NamedTuple):
    """The arrays behind `Statistics`, float32."""

    means: Array  # (K, F), of the features of each class
    scatter: Array  # (F (F + 1) / 2,), lower triangle of the sum over all images of d dᵀ, d from the mean of the class


class Head(NamedTuple):
    """A linear head, float64."""

    weight: Exact  # (K, F)
    bias: Exact  # (K,)


def triangle_length(features: int) -> int:
    """Numbers in the lower triangle of a square matrix."""
    return features * (features + 1) // 2


def packed(square: Exact) -> NDArray[np.float32]:
    """The lower triangle of a symmetric matrix (F, F), row by row."""
    return square[np.tril_indices(len(square))].astype(np.float32)


def unpacked(triangle: Array, features: int) -> Exact:
    """The symmetric matrix (F, F) of a lower triangle."""
    square = np.zeros((features, features))
    square[np.tril_indices(features)] = triangle
    return square + np.tril(square, -1).T


Found = tuple[tuple[int, ...], StatisticsArrays]
"""The number of images of each class, and the arrays."""


def statistics_of(features: Array, targets: NDArray[np.int64], classes: int) -> Found:
    """The counts and the arrays of features (n, F) with their classes (n,); each class has an image at least."""
    exact = features.astype(np.float64)
    counts = np.bincount(targets, minlength=classes)
    sums = np.zeros((classes, exact.shape[1]))
    np.add.at(sums, targets, exact)
    means = sums / counts[:, None]
    apart = exact - means[targets]
    return tuple(counts.tolist()), StatisticsArrays(means.astype(np.float32), packed(apart.T @ apart))


def with_class(counts: tuple[int, ...], arrays: StatisticsArrays, features: Array) -> Found:
    """The same statistics with one more class, of features (n, F)."""
    exact = features.astype(np.float64)
    mean = exact.mean(0)
    apart = exact - mean
    means = np.concatenate([arrays.means, mean[None].astype(np.float32)])
    scatter = arrays.scatter + packed(apart.T @ apart)
    return (*counts, len(exact)), StatisticsArrays(means, scatter)


def closed_head(counts: tuple[int, ...], arrays: StatisticsArrays, penalty: float, scale: float) -> Head:
    """The head of linear discriminant analysis, in which every class has the same prior.

    A class of few images is not at a disadvantage: its covariance is that of all classes pooled.
    """
    means = arrays.means.astype(np.float64)
    features = means.shape[1]
    covariance = unpacked(arrays.scatter, features) / sum(counts)
    covariance += penalty * max(np.trace(covariance) / features, _LEAST) * np.eye(features)
    centre = means.mean(0)  # moves all logits alike, and keeps the bias small
    apart = means - centre
    weight = scale * np.linalg.solve(covariance, apart.T).T
    return Head(weight, -np.einsum("kf,kf->k", weight, apart / 2 + centre))


def bounded(head: Head) -> Head:
    """The same head; with smaller logits where float16 could not hold it, as where the scatter is almost nothing."""
    share = min(1.0, LARGEST_WEIGHT / max(_LEAST, *(float(np.abs(values).max()) for values in head)))
    return Head(share * head.weight, share * head.bias)


def check_statistics(statistics: Statistics, classes: int) -> None:
    """Check the record by itself.

    Raises:
        InvalidStatistics: a value is out of range, or the counts do not fit the number of labels.
    """
    if len(statistics.counts) != classes or not all(statistics.counts):
        raise errors.InvalidStatistics(f"{len(statistics.counts)} counts, of one image at least, for {classes} labels")
    if not 0 < statistics.penalty <= LARGEST_PENALTY or not 0 < statistics.scale <= LARGEST_SCALE:
        raise errors.InvalidStatistics("penalty and scale are above 0, and not huge")


def check_arrays(arrays: StatisticsArrays, *, features: int, classes: int) -> None:
    """Check the arrays, which are finite, against the head (K, F).

    Raises:
        WrongShape: they do not fit it, or it has more features than statistics are kept for.
        NotPositiveDefinite: no features have such a scatter.
    """
    expected = (classes, features), (triangle_length(features),)
    found = arrays.means.shape, arrays.scatter.shape
    if found != expected or features > MOST_FEATURES:
        raise errors.WrongShape(f"the statistics are {found}, not {expected} with at most {MOST_FEATURES} features")
    scatter = unpacked(arrays.scatter, features)
    level = np.trace(scatter) / features
    try:
        np.linalg.cholesky(scatter + max(_SLACK * level, _LEAST) * np.eye(features))
    except np.linalg.LinAlgError:
        raise errors.NotPositiveDefinite("no features have the scatter of the statistics") from None
