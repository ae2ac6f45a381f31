"""The unknown score against its definition, written out with a full covariance matrix."""

import numpy as np
import pytest

from backbone import KnownFeatures, known_features, unknown_scores

FEATURES, RANK, CLASSES = 12, 3, 4


def description(seed: int, threshold: float = 5.0) -> KnownFeatures:
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.normal(size=(FEATURES, RANK)))[0].T
    factor = np.tril(random.normal(size=(RANK, RANK))) + 3 * np.eye(RANK)
    arrays = random.normal(size=FEATURES), basis, factor, random.normal(size=(CLASSES, RANK))
    return known_features(arrays, 0.25, threshold)


def by_definition(feature: np.ndarray, known: KnownFeatures) -> float:
    """The nearest Mahalanobis distance under one covariance: the factor's inside of the basis, a sphere outside."""
    mean, basis, factor, centres = (array.astype(np.float64) for array in known[:4])
    outside = np.eye(FEATURES) - basis.T @ basis
    precision = basis.T @ factor @ factor.T @ basis + outside / known.residual_variance
    means = mean + centres @ np.linalg.inv(factor) @ basis
    return float(min((feature - each) @ precision @ (feature - each) for each in means) / known.threshold)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_a_mahalanobis_distance_to_the_nearest_class(seed: int) -> None:
    known = description(seed)
    features = np.random.default_rng(seed + 9).normal(size=(7, FEATURES)).astype(np.float32)
    expected = [by_definition(feature.astype(np.float64), known) for feature in features]
    np.testing.assert_allclose(unknown_scores(features, known), expected, rtol=1e-4)


def test_a_class_centre_is_known_and_what_is_far_is_not() -> None:
    known = description(0)
    centre = known.mean + known.centres[0] @ np.linalg.inv(known.factor) @ known.basis
    scores = unknown_scores(np.stack([centre, centre + 10]).astype(np.float32), known)
    assert scores[0] == pytest.approx(0, abs=1e-3)
    assert scores[1] > 1


def test_each_row_is_scored_by_itself_and_none_is_negative() -> None:
    known = description(1)
    features = np.random.default_rng(2).normal(size=(5, FEATURES)).astype(np.float32)
    together = unknown_scores(features, known)
    alone = np.concatenate([unknown_scores(row[None], known) for row in features])
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert (together >= 0).all()


def test_features_beyond_float32_give_no_finite_score_and_no_warning() -> None:
    assert not np.isfinite(unknown_scores(np.full((1, FEATURES), 3e38, np.float32), description(3))).any()
