"""Figures of answers against values that were worked out by hand, or against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from training.metrics import (
    UNMEASURED,
    area_under_roc,
    average_precision,
    best_threshold,
    calibration_error,
    chance_errors,
    precision_and_recall,
)

RANDOM = np.random.default_rng(0)


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_share() -> None:
    confidences, right = np.array([0.9, 0.9, 0.9, 0.3]), np.array([True, True, False, False])
    assert calibration_error(confidences, right, bins=2) == pytest.approx((0.7 + 0.3) / 4)
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0
    assert calibration_error(np.empty(0), np.empty(0, np.bool_)) == 0


def test_a_perfect_classifier_has_an_error_by_chance_that_shrinks_with_its_images() -> None:
    (few, most), (many, _) = (chance_errors(RANDOM.uniform(0.4, 1, size=count)) for count in (100, 10_000))
    assert 0.05 < few < most < 0.2
    assert many < few / 5


@pytest.mark.parametrize("levels", [5, 10_000])
def test_average_precision_and_area_are_those_of_scikit_learn(levels: int) -> None:
    scores, truth = RANDOM.integers(0, levels, size=200) / levels, RANDOM.random(200) < 0.3
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))
    assert area_under_roc(scores[~truth], scores[truth]) == pytest.approx(roc_auc_score(truth, scores))


def test_a_label_without_images_has_no_precision_and_no_threshold() -> None:
    nothing = np.zeros(3, np.bool_)
    assert average_precision(np.array([0.1, 0.2, 0.3]), nothing) == 0
    assert best_threshold(np.array([0.1, 0.2, 0.3]), nothing) == UNMEASURED
    assert best_threshold(np.zeros(3), np.ones(3, np.bool_)) == UNMEASURED


def test_a_threshold_lies_between_two_scores_where_f1_is_highest() -> None:
    scores, truth = np.array([0.9, 0.8, 0.4, 0.2]), np.array([True, True, False, False])
    assert best_threshold(scores, truth) == pytest.approx(0.6)
    assert best_threshold(scores, np.array([True, False, True, False])) == pytest.approx(0.3)
    assert best_threshold(scores, np.ones(4, np.bool_)) == pytest.approx(0.1)


def test_a_stated_precision_is_reached_by_the_lowest_threshold_or_f1_decides() -> None:
    scores, truth = np.array([0.9, 0.8, 0.4, 0.2]), np.array([True, False, True, False])
    assert best_threshold(scores, truth, 1.0) == pytest.approx(0.85)
    assert best_threshold(scores, truth, 0.6) == pytest.approx(0.3)
    assert best_threshold(scores, ~truth, 0.9) == best_threshold(scores, ~truth)


def test_scores_that_are_equal_are_never_divided() -> None:
    scores, truth = np.array([0.5, 0.5, 0.1]), np.array([True, False, False])
    assert best_threshold(scores, truth) == pytest.approx(0.3)


def test_precision_and_recall_are_of_each_label() -> None:
    given = np.array([[True, False], [True, False], [False, False]])
    truth = np.array([[True, False], [False, False], [True, True]])
    precision, recall = precision_and_recall(given, truth)
    assert (precision.tolist(), recall.tolist()) == ([0.5, 0], [0.5, 0])
