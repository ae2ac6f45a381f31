"""Which source reads what the user names."""

import sys
from pathlib import Path

import pytest

from tests.training.data.trees import write_folder, write_parquet
from training.data import load_data
from training.data.digits import DigitSet
from training.data.errors import HubUnavailable, MissingPath, UnknownSource, WrongColumn
from training.data.folder import FolderSet
from training.data.table import TableSet


def test_digits_are_built_in() -> None:
    assert isinstance(load_data("digits-parity").train, DigitSet)


def test_a_folder_of_class_folders_is_an_image_folder(tmp_path: Path) -> None:
    assert isinstance(load_data(str(write_folder(tmp_path, {"ant": 1}))).train, FolderSet)


def test_a_folder_of_parquet_files_is_read_as_such(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [0, 1])
    assert isinstance(load_data(str(tmp_path)).train, TableSet)


def test_a_parquet_file_may_have_columns_of_other_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "pets.parquet", [0, 1])
    with pytest.raises(WrongColumn, match="no column 'kind'"):
        load_data(str(path), label_column="kind")


@pytest.mark.parametrize("spec", ["digits", "folder"])
def test_columns_are_refused_where_there_are_none(tmp_path: Path, spec: str) -> None:
    write_folder(tmp_path, {"ant": 1})
    with pytest.raises(WrongColumn, match="no columns to choose from"):
        load_data("digits" if spec == "digits" else str(tmp_path), image_column="picture")


def test_a_path_that_does_not_exist_is_named_with_the_built_in_sets() -> None:
    with pytest.raises(MissingPath, match=r"no/such/folder: no such file or folder .*digits, digits-demo"):
        load_data("no/such/folder")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(UnknownSource, match=r"images\.zip: neither a folder of images nor a Parquet file"):
        load_data(str(tmp_path / "images.zip"))


def test_hub_names_go_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HubUnavailable, match="hf:beans"):
        load_data("hf:beans")
