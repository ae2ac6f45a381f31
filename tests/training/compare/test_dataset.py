"""The images of a comparison, and what a row says of its making."""

import re
from pathlib import Path

import pytest

from tests.training.compare.fakes import config
from tests.training.data.trees import write_folder
from tests.training.small import small_backbone, small_prepared
from training.compare.dataset import few_of, load
from training.compare.making import made_by


def test_images_of_a_class_are_drawn_by_the_seed() -> None:
    whole = small_prepared()
    few = few_of(whole, 3, 0)
    assert few.train.targets.bincount().tolist() == [3, 3, 3]
    assert len(few.validation) == len(whole.validation)
    assert not few.train.pixels.equal(few_of(whole, 3, 1).train.pixels)
    assert few.train.pixels.equal(few_of(whole, 3, 0).train.pixels)


def test_data_lie_under_the_data_folder_and_are_named_by_the_configuration(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", {"ant": 10, "cat": 10})
    small = small_backbone()
    data = config("fake = {}", tmp_path, epochs='2\nspec = "pets"\nper_class = 4').data[0]
    prepared = load(data, tmp_path, small.preprocessing, validation=0.2, seed=0)
    assert (prepared.name, len(prepared.train), len(prepared.validation)) == ("small", 8, 4)


def test_what_is_built_in_needs_no_folder(tmp_path: Path) -> None:
    data = config("fake = {}", tmp_path, epochs='2\nspec = "digits-demo"').data[0]
    assert len(load(data, tmp_path, small_backbone().preprocessing, validation=0.1, seed=0).labels) == 10


def test_a_row_is_made_by_a_commit_and_a_kind_of_device() -> None:
    made = made_by("cpu")
    assert "CPU, " in made["device"]
    assert re.fullmatch(r"([0-9a-f]{7,}(-dirty)?)?", made["commit"])


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert made_by("cpu")["commit"] == ""
