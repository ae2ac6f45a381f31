"""From logits to probabilities and given labels, for files with and without a record of how answers are read."""

from dataclasses import replace

import numpy as np
import pytest

from adapters_store import Answers, Manifest
from adapters_store.answers import SIGMOID, SOFTMAX
from service.prediction.answers import given, is_sigmoid, probabilities_of, rank, sigmoid, softmax
from tests.service.adapters import make

PLAIN = make(60, classes=3).adapter.manifest
LOGITS = np.array([[2.0, 0.0, -2.0], [1.0, 1.5, 0.0]], np.float32)


def read(activation: str, *thresholds: float, temperature: float = 2.0) -> Manifest:
    return replace(PLAIN, answers=Answers(activation, temperature, thresholds, None, None))


def test_a_file_that_says_nothing_is_softmax_and_gives_no_label() -> None:
    probabilities = probabilities_of(LOGITS, PLAIN)
    np.testing.assert_allclose(probabilities, softmax(LOGITS))
    assert given(probabilities, PLAIN) is None
    assert not is_sigmoid(PLAIN)


def test_the_temperature_divides_the_logits_and_changes_no_order() -> None:
    warm = probabilities_of(LOGITS, read(SOFTMAX, 0, 0, 0))
    np.testing.assert_allclose(warm, softmax(LOGITS / 2))
    assert (warm.argmax(1) == LOGITS.argmax(1)).all()
    np.testing.assert_allclose(probabilities_of(LOGITS, read(SIGMOID, 0, 0, 0)), sigmoid(LOGITS / 2))


def test_of_exclusive_classes_at_most_the_best_is_given() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.45, 0.35]])
    found = given(probabilities, read(SOFTMAX, 0.6, 0.5, 0.0))
    assert found is not None
    assert found.tolist() == [[True, False, False], [False, False, False]]


def test_of_independent_labels_any_number_is_given() -> None:
    found = given(np.array([[0.6, 0.3, 0.1], [0.9, 0.8, 0.7]]), read(SIGMOID, 0.9, 0.3, 0.2))
    assert found is not None
    assert found.tolist() == [[False, True, False], [True, True, True]]


@pytest.mark.parametrize("manifest", [PLAIN, read(SOFTMAX, 0.9, 0.9, 0.9)])
def test_the_threshold_of_a_request_takes_the_place_of_those_in_the_file(manifest: Manifest) -> None:
    found = given(np.array([0.5, 0.3, 0.2]), manifest, 0.5)
    assert found is not None
    assert found.tolist() == [True, False, False]
    nothing = given(np.array([0.5, 0.3, 0.2]), manifest, 0.51)
    assert nothing is not None
    assert not nothing.any()


def test_large_logits_overflow_nowhere() -> None:
    large = np.array([1e30, -1e30], np.float32)
    assert softmax(large).tolist() == [1, 0]
    assert sigmoid(large).tolist() == [1, 0]


@pytest.mark.parametrize("threshold", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("manifest", [PLAIN, read(SOFTMAX, 0.6, 0.3, 0.9), read(SIGMOID, 0.6, 0.3, 0.9)])
@pytest.mark.parametrize("logits", [*LOGITS, np.array([0.5, 0.5, 0.5], np.float32)])
def test_one_image_is_ranked_as_many_are_read(logits: np.ndarray, manifest: Manifest, threshold: float | None) -> None:
    probabilities = probabilities_of(logits, manifest)
    ranking, reached = rank(logits, manifest, threshold), given(probabilities, manifest, threshold)
    assert ranking.probabilities == probabilities.tolist()
    assert ranking.order == np.argsort(-logits, kind="stable").tolist()
    assert (ranking.given is None) == (reached is None)
    if ranking.given is not None and reached is not None:
        assert ranking.given == [i for i in ranking.order if reached[i]]


@pytest.mark.parametrize("labels", [3, 256, 257])
def test_the_order_is_by_logit_and_equal_ones_keep_theirs(labels: int) -> None:
    manifest = replace(PLAIN, labels=tuple(map(str, range(labels))))
    logits = np.random.default_rng(labels).integers(0, 9, labels).astype(np.float32)
    assert rank(logits, manifest).order == np.argsort(-logits, kind="stable").tolist()
