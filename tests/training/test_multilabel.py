"""Any number of labels an image: from lists in Parquet files to a file that answers by sigmoid."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from adapters_store import unpack
from adapters_store.answers import SIGMOID
from tests.training.small import small_backbone, small_options, small_prepared
from training.data import Data, carve, check, load_data
from training.data.errors import EmptyClass, UnknownLabel, WrongColumn
from training.errors import BadConfig
from training.export import from_file
from training.fit import evaluate
from training.linear_probe import train_linear_probe
from training.loss import multilabel_loss
from training.mimi import Job, Outcome, train_mimi
from training.options import PruningOptions
from training.pixels import PixelSet
from training.prepare import Prepared, prepare

LABELS = ("bright", "red", "dark")


def labelled(images: int, seed: int) -> PixelSet:
    """Images that are bright or dark, and red or not: two labels that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    bright, red = rng.random(images) < 0.5, rng.random(images) < 0.4
    pixels = rng.integers(0, 60, (images, 16, 16, 3)) + 90 * bright[:, None, None, None]
    pixels[red, :, :, 0] += 80
    targets = np.stack([bright, red, ~bright], 1).astype(np.int64)
    return PixelSet(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(targets))


def prepared() -> Prepared:
    return replace(
        small_prepared(), labels=LABELS, train=labelled(64, 0), validation=labelled(40, 1), test=labelled(40, 2)
    )


def trained(folder: Path, **changes: object) -> Outcome:
    fit = replace(small_options().fit, epochs=6)
    return train_mimi(Job(prepared(), small_backbone(), small_options(fit=fit, **changes), folder))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return trained(tmp_path_factory.mktemp("labels"))


def test_a_file_of_independent_labels_is_trained_pruned_and_says_so(outcome: Outcome) -> None:
    manifest = unpack(outcome.adapter).manifest
    assert [result.neurons for result in outcome.results] == [24, 12, 6]
    assert manifest.answers is not None
    assert manifest.answers.activation == SIGMOID
    assert manifest.answers.validation is not None
    assert min(manifest.answers.validation.average_precision) > 0.9
    assert manifest.answers.validation.confusion == ()
    assert {"validation_map", "test_map"} <= manifest.provenance.metrics.keys()
    assert not {"validation_top1", "test_top1"} & manifest.provenance.metrics.keys()


def test_its_figures_are_those_of_the_written_file(outcome: Outcome) -> None:
    test = prepared().test
    assert test is not None
    found = evaluate(from_file(outcome.adapter, small_backbone()), test)
    assert found == outcome.results[-1].test
    assert found > 0.9
    named = unpack(outcome.adapter).manifest.provenance.metrics
    assert named["test_map"] == found


@pytest.mark.parametrize("criterion", ["gradient", "snip"])
def test_neurons_are_scored_by_the_gradients_of_the_same_loss(tmp_path: Path, criterion: str) -> None:
    pruning = PruningOptions(criterion=criterion)  # type: ignore[arg-type]
    assert trained(tmp_path, pruning=pruning).results[-1].neurons == 6


def test_the_loss_of_a_label_asks_nothing_of_another() -> None:
    logits = torch.randn(5, 3, requires_grad=True)
    multilabel_loss(logits, torch.ones(5, 3))[None].sum().backward()
    assert logits.grad is not None
    alone = logits.detach()[:, :1].requires_grad_()
    multilabel_loss(alone, torch.ones(5, 1)).backward()
    assert alone.grad is not None
    torch.testing.assert_close(logits.grad[:, :1], alone.grad)


def test_the_probe_is_one_of_each_label(outcome: Outcome) -> None:
    model, validation, _ = train_linear_probe(prepared(), small_backbone())
    assert validation == evaluate(model, prepared().validation)
    assert 0.5 < validation <= 1


def test_images_are_not_mixed_where_labels_are_several(tmp_path: Path) -> None:
    fit = replace(small_options().fit, mixup=0.5)
    with pytest.raises(BadConfig, match="several labels"):
        train_mimi(Job(prepared(), small_backbone(), small_options(fit=fit), tmp_path))


def test_every_label_is_on_both_sides_of_a_split() -> None:
    targets = np.zeros((100, 3), np.int64)
    targets[:, 0], targets[:10, 1], targets[90:, 2] = 1, 1, 1
    targets[50:60] = 0
    kept, held = carve(targets, fraction=0.2, seed=0)
    assert len(kept) + len(held) == 100
    assert targets[held].sum(0).tolist()[1:] == [2, 2]
    assert (targets[kept].sum(0) > 0).all()


def table(column: pa.Array, features: object = None) -> pa.Table:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(file, "PNG")
    cells = [{"bytes": file.getvalue(), "path": None}] * len(column)
    found = pa.table({"image": cells, "label": column})
    if features is None:
        return found
    return found.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": {"label": features}}})})


def loaded(folder: Path, column: pa.Array, features: object = None) -> Data:
    pq.write_table(table(column, features), folder / "set.parquet")
    return load_data(str(folder / "set.parquet"))


NAMES = {"names": ["cat", "dog", "fox"], "_type": "ClassLabel"}


@pytest.mark.parametrize(
    "features", [{"feature": NAMES, "_type": "Sequence"}, {"feature": NAMES, "_type": "List"}, [NAMES]]
)
def test_lists_of_class_labels_are_read_as_hugging_face_writes_them(tmp_path: Path, features: object) -> None:
    data = loaded(tmp_path, pa.array([[0, 2], [], [1], [2]]), features)
    assert data.labels == ("cat", "dog", "fox")
    assert data.train.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_lists_of_names_or_numbers_name_themselves(tmp_path: Path) -> None:
    assert loaded(tmp_path, pa.array([["b"], ["a", "b"], []])).train.targets.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert loaded(tmp_path, pa.array([[10], [9]])).labels == ("9", "10")


def test_lists_that_hold_no_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongColumn):
        loaded(tmp_path, pa.array([[0.5], [1.0]]))
    with pytest.raises(UnknownLabel):
        loaded(tmp_path, pa.array([[None], [1]]))
    for wrong in (3, -1, None):
        with pytest.raises(UnknownLabel):
            loaded(tmp_path, pa.array([[0], [wrong]]), [NAMES])


def test_a_label_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyClass, match="dog"):
        check(loaded(tmp_path, pa.array([[0], [2]]), [NAMES]))


def test_what_is_read_is_prepared_with_its_labels(tmp_path: Path) -> None:
    data = loaded(tmp_path, pa.array([[0], [1], [2], [0, 1]] * 6), [NAMES])
    found = prepare(data, small_backbone().preprocessing, validation=0.25, seed=0)
    assert found.multilabel
    assert (found.train.targets.shape[1], found.validation.targets.shape[1]) == (3, 3)
    everything = prepare(data, small_backbone().preprocessing, validation=0, seed=0)
    assert everything.validation.targets.shape == (0, 3)


def test_the_digits_have_value_and_parity_at_once() -> None:
    data = load_data("digits-labels")
    targets = data.train.targets
    assert data.labels == (*map(str, range(10)), "even", "odd")
    assert (targets.sum(1) == 2).all()
    assert np.array_equal(targets[:, :10].argmax(1) % 2, targets[:, 11])
