"""The distance of an image's features from those of a task's training images: the score for unknown images.

Along a few directions of the features the distance is Mahalanobis' to the nearest class centre, with one covariance
for all classes. Across them it is the squared residual in units of its mean variance (probabilistic PCA; Lee et al.
2018, Tipping and Bishop 1999):

    c = features - mean,  p = basis c
    distance = (|c|² - |p|²) / residual_variance + min over classes |pᵀ factor - centre|²
    score = distance / threshold

A score above 1 means unknown. Nothing here needs PyTorch: it comes after the forward pass, and is small.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class KnownFeatures(NamedTuple):
    """A description of the features of a task's own images; float32."""

    mean: Floats  # (F,)
    basis: Floats  # (r, F), orthonormal
    factor: Floats  # (r, r), lower triangular
    centres: Floats  # (C, r)
    residual_variance: float
    threshold: float


def known_features(
    arrays: Iterable[NDArray[np.floating[Any]]], residual_variance: float, threshold: float
) -> KnownFeatures:
    """The description from the four arrays, in any floating dtype, and its two numbers."""
    mean, basis, factor, centres = (np.ascontiguousarray(array, np.float32) for array in arrays)
    return KnownFeatures(mean, basis, factor, centres, residual_variance, threshold)


def unknown_scores(features: Floats, known: KnownFeatures) -> Floats:
    """The score (B,) of each image from its features (B, F): not negative, and above 1 where it is unknown."""
    with np.errstate(over="ignore", invalid="ignore"):  # a score that is not finite is refused where it is used
        centred = features - known.mean
        along = centred @ known.basis.T  # (B, r)
        across = np.einsum("bf,bf->b", centred, centred) - np.einsum("br,br->b", along, along)
        whitened = along @ known.factor
        # |a - m|² as |a|² - 2 a·m + |m|²: one product, and no array of (B, C, r)
        apart = np.einsum("cr,cr->c", known.centres, known.centres) - 2 * whitened @ known.centres.T  # (B, C)
        nearest = np.einsum("br,br->b", whitened, whitened) + apart.min(1)
        distance = np.maximum(across, 0) / known.residual_variance + np.maximum(nearest, 0)
        scores: Floats = (distance / known.threshold).astype(np.float32)
    return scores
