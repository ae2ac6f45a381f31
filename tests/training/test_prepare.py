"""A data set made ready: which images are trained on and which are chosen by."""

from pathlib import Path

import pytest
import torch

from backbone import load_backbone
from tests.training.data.trees import write_folder
from tests.training.small import small_prepared
from training.data import load_data
from training.pixels import PixelSet
from training.prepare import prepare


def test_validation_images_of_the_set_itself_are_chosen_by(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 3, "cat": 3})
    write_folder(tmp_path / "validation", {"ant": 1, "cat": 2})
    write_folder(tmp_path / "test", {"ant": 1, "cat": 1})
    prepared = prepare(load_data(str(tmp_path)), load_backbone().preprocessing, validation=0.5, seed=0)
    assert prepared.test is not None
    assert (len(prepared.train), len(prepared.validation), len(prepared.test)) == (6, 3, 2)
    assert prepared.validation.targets.tolist() == [0, 1, 1]


def test_without_them_a_share_of_each_class_is_held_back(tmp_path: Path) -> None:
    data = load_data(str(write_folder(tmp_path, {"ant": 4, "cat": 4})))
    prepared = prepare(data, load_backbone().preprocessing, validation=0.5, seed=0)
    assert (len(prepared.train), prepared.validation.targets.tolist()) == (4, [0, 0, 1, 1])


def test_images_in_two_splits_or_under_two_labels_are_counted(tmp_path: Path) -> None:
    """`write_folder` draws image i in shade i, so that each class and split has the same images."""
    write_folder(tmp_path / "train", {"ant": 2, "cat": 3})
    write_folder(tmp_path / "validation", {"ant": 1, "cat": 1})
    said: list[str] = []
    prepare(load_data(str(tmp_path)), load_backbone().preprocessing, validation=0.5, seed=0, say=said.append)
    assert said == [
        "warning: 1 images are in the train split and in the validation split too",
        "warning: 2 images have more than one label, such as 'ant' and 'cat'",
    ]


def test_long_reading_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.prepare._SECONDS", -1.0)
    said: list[str] = []
    data = load_data(str(write_folder(tmp_path, {"ant": 2, "cat": 2})))
    prepare(data, load_backbone().preprocessing, validation=0.5, seed=0, say=said.append)
    assert said[:8] == [f"reading images: {share} % of 4" for share in (12, 25, 37, 50, 62, 75, 87, 100)]


@pytest.mark.parametrize(("free", "moved"), [(10**9, ["cuda", "cuda", "cuda"]), (10**4, [])])
def test_images_go_to_a_cuda_device_that_has_room_for_them(
    free: int, moved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of the transfers stands in for a device: 48 images of 16 x 16 pixels have 36,864 bytes."""
    found: list[str] = []

    def recorded(images: PixelSet, device: torch.device) -> PixelSet:
        found.append(str(device))
        return images

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    monkeypatch.setattr(PixelSet, "to", recorded)
    small_prepared().to("cuda")
    assert found == moved


def test_on_a_cpu_images_stay_where_they_are() -> None:
    prepared = small_prepared()
    assert prepared.to("cpu").train is prepared.train
