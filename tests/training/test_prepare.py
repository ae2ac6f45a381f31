"""A data set made ready: which images are trained on and which are chosen by."""

from pathlib import Path

from backbone import load_backbone
from tests.training.data.trees import write_folder
from training.data import load_data
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
