"""Statistics of features in a task adapter file, and a class that is added to it without the old images."""

from dataclasses import replace

import numpy as np
import pytest

from adapters_store import Answers, Known, KnownArrays, Statistics, StatisticsArrays, TaskAdapter, errors, pack, unpack
from adapters_store.answers import SIGMOID, SOFTMAX
from adapters_store.extending import extended, unknown_distances
from adapters_store.statistics import closed_head, statistics_of, triangle_length, unpacked, with_class
from backbone import known_features, unknown_scores
from tests.adapters_store.adapters import FEATURES, make_adapter
from tests.adapters_store.raw import GOOD_FILE, with_manifest

DRAWN = np.random.default_rng(0)
CENTRES = 4 * DRAWN.standard_normal((4, FEATURES))
TARGETS = np.repeat(np.arange(3), (50, 20, 80))
IMAGES = (CENTRES[TARGETS] + DRAWN.standard_normal((150, FEATURES))).astype(np.float32)
KNOWN = Known(1.0, 0.9, 0.5)
ARRAYS = KnownArrays(
    mean=np.arange(FEATURES, dtype=np.float32),
    basis=np.eye(2, FEATURES, dtype=np.float32),
    factor=np.array([[2, 0], [1, 3]], np.float32),
    centres=np.ones((2, 2), np.float32),
)


def adapter(**changes: object) -> TaskAdapter:
    """A file of two classes with statistics."""
    own = TARGETS < 2
    counts, arrays = statistics_of(IMAGES[own], TARGETS[own], 2)
    plain = make_adapter()
    record = Statistics(counts, 0.1, 1.0)
    return replace(plain, manifest=replace(plain.manifest, statistics=record), statistics=arrays, **changes)  # type: ignore[arg-type]


def answered(answers: Answers, known: KnownArrays | None = None) -> TaskAdapter:
    found = adapter()
    score = None if known is None else np.ones(1, np.float32)
    return replace(found, manifest=replace(found.manifest, answers=answers), known=known, golden_score=score)


def test_a_file_with_statistics_is_of_the_third_version_and_read_back_as_written() -> None:
    data = pack(adapter())
    found = unpack(data)
    assert found.manifest.format_version == 3
    assert found.statistics is not None
    np.testing.assert_array_equal(found.statistics.scatter, adapter().statistics.scatter)  # type: ignore[union-attr]
    assert pack(found) == data


def test_statistics_do_not_change_the_other_tensors() -> None:
    found, plain = unpack(pack(adapter())), unpack(GOOD_FILE)
    np.testing.assert_array_equal(found.head_weight, plain.head_weight)
    np.testing.assert_array_equal(found.golden_logits, plain.golden_logits)


@pytest.mark.parametrize(("version", "error"), [(1, errors.UnknownField), (2, errors.UnknownField)])
def test_statistics_belong_to_the_third_version(version: int, error: type[errors.BadManifest]) -> None:
    with pytest.raises(error):
        unpack(with_manifest(lambda manifest: manifest.update(format_version=version), pack(adapter())))


def test_a_file_of_the_third_version_has_statistics() -> None:
    with pytest.raises(errors.MissingField):
        unpack(with_manifest(lambda manifest: manifest.update(format_version=3), GOOD_FILE))
    with pytest.raises(errors.InvalidField):
        unpack(with_manifest(lambda manifest: manifest.update(statistics=None), pack(adapter())))


BAD_RECORDS = {
    "a count too few": Statistics((50,), 0.1, 1.0),
    "a class without an image": Statistics((50, 0), 0.1, 1.0),
    "no penalty": Statistics((50, 20), 0.0, 1.0),
    "a scale of nothing": Statistics((50, 20), 0.1, 0.0),
    "a huge scale": Statistics((50, 20), 0.1, 1e7),
}


@pytest.mark.parametrize("record", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_a_bad_record_is_refused(record: Statistics) -> None:
    found = adapter()
    with pytest.raises(errors.InvalidStatistics):
        pack(replace(found, manifest=replace(found.manifest, statistics=record)))


def arrays(**changes: np.ndarray) -> TaskAdapter:
    found = adapter()
    assert found.statistics is not None
    return replace(found, statistics=found.statistics._replace(**changes))


BAD_ARRAYS = {
    "means of another length": (errors.WrongShape, arrays(means=np.zeros((2, 5), np.float32))),
    "a scatter of another length": (errors.WrongShape, arrays(scatter=np.zeros(4, np.float32))),
    "a scatter that is negative": (
        errors.NotPositiveDefinite,
        arrays(scatter=-np.ones(triangle_length(FEATURES), np.float32)),
    ),
    "a scatter with NaN": (
        errors.NonFiniteValue,
        arrays(scatter=np.full(triangle_length(FEATURES), np.nan, np.float32)),
    ),
    "half precision": (errors.WrongDtype, arrays(means=np.zeros((2, FEATURES), np.float16))),
}


@pytest.mark.parametrize(("error", "wrong"), BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_bad_arrays_are_refused(error: type[errors.BadTensors], wrong: TaskAdapter) -> None:
    with pytest.raises(error):
        pack(wrong)


def test_arrays_without_a_record_are_refused() -> None:
    with pytest.raises(errors.UnexpectedTensor):
        pack(replace(make_adapter(), statistics=adapter().statistics))
    with pytest.raises(errors.MissingTensor):
        pack(replace(adapter(), statistics=None))


def test_a_class_that_is_added_gives_the_statistics_of_all_images() -> None:
    own = TARGETS < 2
    counts, added = with_class(*statistics_of(IMAGES[own], TARGETS[own], 2), IMAGES[~own])
    expected_counts, expected = statistics_of(IMAGES, TARGETS, 3)
    assert counts == expected_counts == (50, 20, 80)
    np.testing.assert_allclose(added.means, expected.means, rtol=1e-5)
    np.testing.assert_allclose(added.scatter, expected.scatter, rtol=1e-4, atol=1e-3)


def test_the_head_is_that_of_discriminant_analysis() -> None:
    counts, found = statistics_of(IMAGES, TARGETS, 3)
    head = closed_head(counts, found, 1e-9, 2.0)
    inverse = np.linalg.inv(unpacked(found.scatter, FEATURES) / sum(counts))
    distances = np.array([[(x - m) @ inverse @ (x - m) for m in found.means] for x in IMAGES[::10].astype(np.float64)])
    logits = IMAGES[::10] @ head.weight.T + head.bias
    expected = -distances  # the logits of Gaussian classes are half of it, and the scale is 2
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], rtol=1e-3, atol=1e-3)


def test_an_added_class_is_told_from_the_old_ones_and_the_adapters_stay() -> None:
    old, golden = adapter(), IMAGES[0]
    new = unpack(pack(extended(old, "bird", IMAGES[TARGETS == 2], golden)))
    assert new.manifest.labels == ("cat", "dog", "bird")
    assert new.manifest.statistics is not None
    assert new.manifest.statistics.counts == (50, 20, 80)
    assert ((IMAGES @ new.head_weight.T + new.head_bias).argmax(1) == TARGETS).mean() > 0.95
    for site, weights in old.sites.items():
        np.testing.assert_array_equal(new.sites[site].down, weights.down)
    np.testing.assert_allclose(new.golden_logits, golden @ new.head_weight.T + new.head_bias, rtol=1e-4, atol=1e-4)
    assert (new.manifest.provenance.metrics, new.manifest.answers) == ({}, None)
    assert new.manifest.provenance.method == "mimi + classes in closed form"
    twice = extended(new, "fish", IMAGES[:5], golden)
    assert twice.manifest.provenance.method == new.manifest.provenance.method


def test_what_was_measured_with_the_old_head_is_dropped_and_what_is_known_is_kept() -> None:
    old = answered(Answers(SOFTMAX, 2.5, (0.5, 0.5), KNOWN, None), ARRAYS)
    birds = IMAGES[TARGETS == 2]
    new = unpack(pack(extended(old, "bird", birds, IMAGES[0])))
    answers = new.manifest.answers
    assert answers is not None
    assert answers.known is not None
    assert new.known is not None
    assert (answers.temperature, answers.thresholds, answers.validation) == (1.0, (0.0,) * 3, None)
    scores = unknown_scores(birds, known_features(new.known, KNOWN.residual_variance, answers.known.threshold))
    assert (scores <= 1 + 1e-5).mean() >= KNOWN.true_positive_rate
    before = unknown_distances(IMAGES, ARRAYS, KNOWN)
    assert (unknown_distances(IMAGES, new.known, answers.known) <= before + 1e-3).all()
    assert answers.known.threshold >= KNOWN.threshold


def test_distances_are_those_of_the_server() -> None:
    scores = unknown_scores(IMAGES, known_features(ARRAYS, KNOWN.residual_variance, 1.0))
    np.testing.assert_allclose(unknown_distances(IMAGES, ARRAYS, KNOWN), scores, rtol=1e-4)


def test_a_task_that_cannot_take_a_class_says_why() -> None:
    with pytest.raises(errors.NoStatistics, match="no statistics"):
        extended(make_adapter(), "bird", IMAGES, IMAGES[0])
    with pytest.raises(errors.LabelExists):
        extended(adapter(), "dog", IMAGES, IMAGES[0])
    with pytest.raises(errors.TooFewImages):
        extended(adapter(), "bird", IMAGES[:1], IMAGES[0])
    with pytest.raises(errors.NotExclusive):
        extended(answered(Answers(SIGMOID, 1.0, (0.5, 0.5), None, None)), "bird", IMAGES, IMAGES[0])
    assert "mimi statistics" in errors.NoStatistics.title


def test_a_label_that_a_file_cannot_hold_is_refused() -> None:
    with pytest.raises(errors.InvalidLabels):
        pack(extended(adapter(), "", IMAGES, IMAGES[0]))
    with pytest.raises(errors.InvalidField):
        pack(extended(adapter(), "two\nlines", IMAGES, IMAGES[0]))


def test_arrays_are_a_named_tuple_of_the_tensors() -> None:
    assert StatisticsArrays._fields == ("means", "scatter")
