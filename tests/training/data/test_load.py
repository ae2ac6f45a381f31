"""The choice of the source for the user's specification."""

import re
import sys
from pathlib import Path

import pytest

from tests.training.data.trees import write_folder, write_parquet
from training.data import load_data
from training.data.arrow import TableSet
from training.data.digits import DigitSet
from training.data.errors import HubUnavailable, MissingPath, UnknownSource, WrongColumn
from training.data.files import FileSet
from training.data.load import PUBLISHED, split_spec


def test_digits_are_built_in() -> None:
    assert isinstance(load_data("digits-parity").train, DigitSet)


def test_a_folder_of_class_folders_is_an_image_folder(tmp_path: Path) -> None:
    assert isinstance(load_data(str(write_folder(tmp_path, {"ant": 1}))).train, FileSet)


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
    with pytest.raises(
        UnknownSource, match=r"images\.zip: neither a folder of images nor a Parquet, CSV or JSON Lines file"
    ):
        load_data(str(tmp_path / "images.zip"))


def test_hub_names_go_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HubUnavailable, match="hf:beans"):
        load_data("hf:beans")


def test_a_folder_named_like_a_built_in_set_is_never_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "digits", {"ant": 2, "cat": 2})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownSource, match=r"write \./digits or built-in:digits"):
        load_data("digits")
    assert load_data("./digits").labels == ("ant", "cat")
    assert len(load_data("built-in:digits").labels) == 10


def test_there_are_29_published_sets() -> None:
    assert len(PUBLISHED) == 4 + 6 + 19


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("cifar10:data/cifar", ("cifar10", "data/cifar")),
        ("vtab/dtd:C:\\data", ("vtab/dtd", "C:\\data")),
        ("hf:user/name", ("hf", "user/name")),
        ("hf:", ("hf", "")),
        ("digits", ("built-in", "digits")),
        ("built-in:digits", ("built-in", "digits")),
        ("C:\\data", ("", "C:\\data")),
        ("cifar11:data", ("", "cifar11:data")),
    ],
)
def test_a_specification_is_a_source_and_where_it_lies(spec: str, parts: tuple[str, str]) -> None:
    assert split_spec(spec) == parts


@pytest.mark.parametrize("spec", ["svhn", "svhn:", "domainnet/real", "vtab/dtd:"])
def test_a_published_set_needs_its_folder(spec: str) -> None:
    name = spec.rstrip(":")
    with pytest.raises(UnknownSource, match=f"^{spec}: say where it lies: {name}:FOLDER"):
        load_data(spec)


def test_a_folder_may_have_the_name_of_a_published_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "svhn", {"ant": 1})
    write_folder(tmp_path / "vtab" / "a:b", {"ant": 1})
    monkeypatch.chdir(tmp_path)
    assert all(isinstance(load_data(spec).train, FileSet) for spec in ("svhn", "vtab/a:b"))


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        ("domainnet/photo:data", "there is no domainnet/photo; there are domainnet/clipart, domainnet/infograph"),
        ("domainnet:data", "there is no domainnet; there are domainnet/clipart"),
        ("vtab/cifar100:data", "there is no vtab/cifar100; there are vtab/caltech101, vtab/cifar, "),
    ],
)
def test_an_unknown_member_of_a_family_is_met_with_the_known_ones(spec: str, known: str) -> None:
    with pytest.raises(UnknownSource, match=known):
        load_data(spec)


def test_published_sets_have_no_columns(tmp_path: Path) -> None:
    with pytest.raises(WrongColumn, match="no columns to choose from"):
        load_data(f"svhn:{tmp_path}", label_column="kind")


def test_the_folder_of_a_published_set_may_be_in_the_users_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(MissingPath, match=re.escape(str(tmp_path / "data"))):
        load_data("svhn:~/data")
