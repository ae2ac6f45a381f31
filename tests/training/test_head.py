"""A head in closed form, and a class that is added to a file: real files over a tiny backbone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adapters_store import TaskAdapter, errors, pack, unpack
from adapters_store.statistics import statistics_of
from backbone import Backbone
from tests.training.small import small_backbone, small_options, small_prepared
from training.calibrate import outputs_of
from training.command import Trained, choose, train
from training.errors import BadConfig
from training.export import Origin, from_file, golden_outputs, to_file
from training.fit import evaluate
from training.head import add_class, head_file, with_statistics
from training.model import AdaptedModel
from training.options import TrainRequest
from training.pixels import PixelSet
from training.prepare import Prepared

BACKBONE = small_backbone()


def adapted(prepared: Prepared, backbone: Backbone) -> bytes:
    """A file with adapters that do something, and a head that nobody trained."""
    widths = (2, 0, 3, 0)
    model = AdaptedModel(backbone, widths, len(prepared.labels), seed=3)
    return to_file(
        model, prepared, Origin("mimi", small_options(), 1, 1, initial_widths=(4,) * 4, metrics={}), backbone
    )


def without(prepared: Prepared, label: int) -> tuple[Prepared, PixelSet]:
    """The set without its last class, and the training images of that class."""
    assert label == len(prepared.labels) - 1

    def kept(images: PixelSet) -> PixelSet:
        rows = images.targets != label
        return PixelSet(images.pixels[rows], images.targets[rows])

    held = prepared.train.targets == label
    left = replace(
        prepared,
        labels=prepared.labels[:-1],
        train=kept(prepared.train),
        validation=kept(prepared.validation),
        test=kept(prepared.test or prepared.validation),
    )
    return left, PixelSet(prepared.train.pixels[held], torch.zeros(int(held.sum()), dtype=torch.int64))


def golden_distance(found: TaskAdapter) -> float:
    return float(np.abs(golden_outputs(BACKBONE, found).logits - found.golden_logits).max())


def test_a_head_in_closed_form_is_a_complete_file() -> None:
    prepared = small_prepared()
    found = unpack(head_file(prepared, BACKBONE, small_options()))
    made = found.manifest.provenance
    assert (found.manifest.live_sites, made.method, made.cycles, made.initial_compression) == ((), "head", 0, 0.0)
    assert found.manifest.statistics is not None
    assert found.manifest.statistics.counts == (16, 16, 16)
    assert found.manifest.answers is not None
    assert found.manifest.answers.known is not None
    assert 0.8 < found.manifest.answers.temperature < 1.25
    assert made.metrics["test_top1"] > 0.9
    assert evaluate(from_file(pack(found), BACKBONE), prepared.test or prepared.train) == made.metrics["test_top1"]


def test_statistics_leave_adapters_head_and_answers_as_they_are() -> None:
    prepared = small_prepared()
    data = adapted(prepared, BACKBONE)
    before, after = unpack(data), unpack(with_statistics(data, prepared, BACKBONE))
    assert after.statistics is not None
    plain = replace(after, manifest=replace(after.manifest, statistics=None), statistics=None)
    assert pack(plain) == pack(before) == data


def test_a_class_is_added_behind_the_adapters_of_the_task_and_is_as_good_as_one_that_was_there() -> None:
    prepared = small_prepared()
    left, images = without(prepared, 2)
    part = with_statistics(adapted(left, BACKBONE), left, BACKBONE)
    new = add_class(part, "blue", images, BACKBONE)
    found = unpack(new)
    assert found.manifest.labels == prepared.labels
    assert found.statistics is not None
    outputs = outputs_of(from_file(new, BACKBONE), prepared.train)
    _, expected = statistics_of(outputs.features, outputs.truth.argmax(1), 3)
    np.testing.assert_allclose(found.statistics.means, expected.means, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.statistics.scatter, expected.scatter, rtol=1e-3, atol=1e-2)
    assert golden_distance(found) < 1e-3 * max(1.0, float(np.abs(found.golden_logits).max()))
    assert evaluate(from_file(new, BACKBONE), prepared.test or prepared.train) > 0.9
    for site, weights in unpack(part).sites.items():
        np.testing.assert_array_equal(found.sites[site].down, weights.down)


def test_data_that_does_not_fit_is_refused() -> None:
    prepared = small_prepared()
    data = adapted(prepared, BACKBONE)
    with pytest.raises(BadConfig, match="other labels"):
        with_statistics(data, replace(prepared, labels=("green", "red", "blue")), BACKBONE)
    left, images = without(prepared, 2)
    with pytest.raises(BadConfig, match="'blue'"):
        head_file(replace(left, labels=prepared.labels), BACKBONE, small_options())
    several = replace(prepared, train=PixelSet(prepared.train.pixels, torch.eye(3)[prepared.train.targets]))
    with pytest.raises(BadConfig, match="several labels"):
        head_file(several, BACKBONE, small_options())
    with pytest.raises(errors.NoStatistics):
        add_class(data, "white", images, BACKBONE)


def test_the_command_trains_a_head_and_writes_one_file(tmp_path: Path) -> None:
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (64, 64), (level + number, level, level)).save(
                tmp_path / "images" / name / f"{number}.png"
            )
    request = TrainRequest(method="head", folder=tmp_path / "run", out=tmp_path / "out.safetensors", device="cpu")
    said: list[str] = []
    trained = train(str(tmp_path / "images"), request, choose("short", {}, {}, {}), say=said.append)
    assert isinstance(trained, Trained)
    found = unpack((tmp_path / "out.safetensors").read_bytes())
    assert (tmp_path / "run" / "adapter.safetensors").read_bytes() == (tmp_path / "out.safetensors").read_bytes()
    assert (found.manifest.labels, found.manifest.provenance.method) == (("dark", "light"), "head")
    assert trained.report is None
    assert "report:" not in trained.text
    assert trained.exported.validation == 1.0
