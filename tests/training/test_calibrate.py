"""The calibration of a file: measured on validation images, true of held-back ones, and never of test images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters_store import pack, unpack
from adapters_store.answers import SIGMOID, SOFTMAX
from backbone import known_features, unknown_scores
from tests.training.small import small_backbone, small_options, small_prepared, small_set
from training.calibrate import (
    MOST_TRAINING,
    Outputs,
    Rules,
    calibrate,
    known_of,
    outputs_of,
    reading_of,
    sample,
)
from training.export import from_file, golden_outputs, with_answers
from training.mimi import Job, Outcome, train_mimi
from training.pixels import PixelSet

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder: Path = tmp_path_factory.mktemp("run")
    fit = replace(small_options().fit, epochs=4)
    return train_mimi(Job(small_prepared(), small_backbone(), small_options(fit=fit), folder))


def test_a_trained_file_says_how_it_is_read(outcome: Outcome) -> None:
    adapter, prepared = unpack(outcome.adapter), small_prepared()
    answers = adapter.manifest.answers
    assert answers is not None
    assert answers.validation is not None
    assert (answers.activation, answers.validation.images) == (SOFTMAX, len(prepared.validation))
    cells = np.zeros((3, 3))
    for true, predicted, images in answers.validation.confusion:
        cells[true, predicted] = images
    assert cells.sum(1).tolist() == [8, 8, 8]
    validation = adapter.manifest.provenance.metrics["validation_top1"]
    assert cells.trace() / cells.sum() == pytest.approx(validation)


def test_the_kernels_give_what_the_modules_give(outcome: Outcome) -> None:
    model, images = from_file(outcome.adapter, small_backbone()), small_prepared().validation
    with torch.inference_mode():
        features = model.features(model.backbone.preprocessing.normalize(images.pixels))
        logits = model.head(features)
    found = outputs_of(model, images, batch_size=7)
    assert any(model.widths)
    np.testing.assert_allclose(found.features, features.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-3)


def test_its_golden_score_is_that_of_its_golden_image(outcome: Outcome) -> None:
    adapter = unpack(outcome.adapter)
    answers = adapter.manifest.answers
    assert answers is not None
    assert answers.known is not None
    assert adapter.known is not None
    known = known_features(adapter.known, answers.known.residual_variance, answers.known.threshold)
    features = golden_outputs(small_backbone(), adapter).features
    assert adapter.golden_score is not None
    np.testing.assert_allclose(unknown_scores(features[None], known), adapter.golden_score, rtol=1e-5)


def test_it_keeps_its_own_images_and_finds_images_of_noise(outcome: Outcome) -> None:
    adapter, model = unpack(outcome.adapter), from_file(outcome.adapter, small_backbone())
    answers = adapter.manifest.answers
    assert answers is not None
    assert answers.known is not None
    assert adapter.known is not None
    known = known_features(adapter.known, answers.known.residual_variance, answers.known.threshold)
    noise = PixelSet(torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8), torch.zeros(40, dtype=torch.int64))
    validation = outputs_of(model, small_prepared().validation).features
    assert (unknown_scores(validation, known) <= 1).mean() >= answers.known.true_positive_rate
    own, foreign = (outputs_of(model, images).features for images in (small_set(60, 7), noise))
    assert np.median(unknown_scores(own, known)) < np.median(unknown_scores(foreign, known))


def test_measuring_anew_gives_the_same_bytes_and_changes_no_weight(outcome: Outcome) -> None:
    backbone, prepared = small_backbone(), small_prepared()
    bare = with_answers(outcome.adapter, None, backbone)
    assert unpack(bare).manifest.format_version == 1
    again = with_answers(bare, calibrate(from_file(bare, backbone), prepared), backbone)
    assert again == outcome.adapter
    for site, arrays in unpack(bare).sites.items():
        np.testing.assert_array_equal(arrays.down, unpack(again).sites[site].down)


def test_test_images_are_never_looked_at(outcome: Outcome) -> None:
    model = from_file(outcome.adapter, small_backbone())
    prepared = small_prepared()
    assert calibrate(model, replace(prepared, test=None)) is not None
    found, without = calibrate(model, prepared), calibrate(model, replace(prepared, test=None))
    assert found is not None
    assert without is not None
    assert found.answers == without.answers


def test_without_validation_images_nothing_is_said(outcome: Outcome) -> None:
    prepared = small_prepared()
    empty = PixelSet(prepared.validation.pixels[:0], prepared.validation.targets[:0])
    assert calibrate(from_file(outcome.adapter, small_backbone()), replace(prepared, validation=empty)) is None


def outputs(count: int, classes: int = 3, size: int = 10) -> Outputs:
    """Features of classes around centres of their own."""
    targets = np.arange(count) % classes
    features = (np.eye(classes, size) * 6)[targets] + RANDOM.normal(size=(count, size))
    truth = np.eye(classes, dtype=np.bool_)[targets]
    return Outputs(features.astype(np.float32), features[:, :classes], truth)


def test_the_threshold_keeps_the_stated_share_of_held_back_images() -> None:
    train, held, fresh = outputs(600), outputs(400), outputs(4000)
    arrays, known = known_of(train, held, SOFTMAX, Rules(true_positive_rate=0.9, rank=4))
    rules = known_features(arrays, known.residual_variance, known.threshold)
    assert (unknown_scores(held.features, rules) <= 1).mean() == pytest.approx(0.9, abs=0.005)
    assert (unknown_scores(fresh.features, rules) <= 1).mean() == pytest.approx(0.9, abs=0.04)
    far = fresh.features + 20
    assert (unknown_scores(far, rules) > 1).all()


def test_labels_that_are_independent_have_one_centre_and_no_confusion_matrix() -> None:
    train, held = outputs(300), outputs(300)
    reading = reading_of(train, held, SIGMOID, Rules(precision=0.9))
    assert reading.arrays is not None
    assert reading.arrays.centres.shape == (1, 8)
    assert reading.answers.validation is not None
    assert reading.answers.validation.confusion == ()
    assert min(reading.answers.validation.precision) >= 0.9


def test_a_class_without_images_is_no_centre_of_its_own() -> None:
    train = outputs(300)
    missing = Outputs(train.features, train.logits, np.concatenate([train.truth, np.zeros((300, 1), np.bool_)], 1))
    arrays, _ = known_of(missing, missing, SOFTMAX, Rules(rank=4))
    assert any(np.array_equal(arrays.centres[3], centre) for centre in arrays.centres[:3])


def test_a_large_set_is_sampled_and_keeps_an_image_of_each_class() -> None:
    targets = torch.zeros(3 * MOST_TRAINING, dtype=torch.int64)
    targets[77] = 1
    found = sample(PixelSet(torch.zeros(len(targets), 1, 1, 3, dtype=torch.uint8), targets))
    assert len(found) <= MOST_TRAINING + 2
    assert 1 in found.targets


def test_a_run_says_which_share_is_known_and_which_precision_labels_have(tmp_path: Path) -> None:
    job = Job(small_prepared(), small_backbone(), small_options(known_share=0.5, label_precision=0.9), tmp_path)
    adapter = unpack(train_mimi(job).adapter)
    answers = adapter.manifest.answers
    assert answers is not None
    assert answers.known is not None
    assert adapter.known is not None
    assert answers.known.true_positive_rate == 0.5
    known = known_features(adapter.known, answers.known.residual_variance, answers.known.threshold)
    validation = outputs_of(from_file(pack(adapter), small_backbone()), small_prepared().validation).features
    assert (unknown_scores(validation, known) <= 1).mean() == pytest.approx(0.5, abs=0.05)
