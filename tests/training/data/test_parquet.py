"""Parquet files and folders of them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.data.trees import png, write_parquet
from training.data.errors import MissingPath, UnreadableFile, WrongColumn
from training.data.parquet import load_parquet
from training.data.table import Columns

NAMES = ("ant", "cat")


def test_one_file_is_a_training_split(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "pets.parquet", [0, 1, 1], names=NAMES)
    data = load_parquet(path, "pets", Columns())
    assert (data.labels, len(data.train), data.test) == (NAMES, 3, None)
    assert data.train.where(2) == f"{path}: row 2"
    assert data.train.image(2).getpixel((0, 0)) == (2, 2, 2)


def test_a_folder_has_a_training_and_a_test_split(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [0, 1], names=NAMES)
    write_parquet(tmp_path / "test.parquet", [1], names=NAMES)
    data = load_parquet(tmp_path, "pets", Columns())
    assert data.test is not None
    assert (len(data.train), data.test.targets.tolist()) == (2, [1])


def test_the_parts_of_a_split_are_read_in_order(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [1], names=NAMES)
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [0, 0], names=NAMES)
    assert load_parquet(tmp_path, "pets", Columns()).train.targets.tolist() == [0, 0, 1]


def test_a_split_numbered_differently_is_numbered_as_train(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [0, 1], names=NAMES)
    write_parquet(tmp_path / "test.parquet", [0, 1], names=("cat", "ant"))
    data = load_parquet(tmp_path, "pets", Columns())
    assert data.test is not None
    assert data.test.targets.tolist() == [1, 0]


def test_a_folder_without_a_training_split_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test.parquet", [0, 1])
    with pytest.raises(MissingPath, match=r"no train\.parquet"):
        load_parquet(tmp_path, "pets", Columns())


@pytest.mark.parametrize("data", [b"", b"PAR1", png(), b"PAR1" + bytes(64) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pets.parquet").write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"pets\.parquet: not a readable Parquet file"):
        load_parquet(tmp_path / "pets.parquet", "pets", Columns())


def test_parts_that_differ_in_their_columns_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [0, 1])
    write_parquet(tmp_path / "train-1.parquet", ["ant", "cat"])
    with pytest.raises(UnreadableFile, match="differ in their columns"):
        load_parquet(tmp_path, "pets", Columns())


def test_an_absent_column_is_named_with_those_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [png()], "text": ["a"]}), tmp_path / "pets.parquet")
    with pytest.raises(WrongColumn, match="no column 'image'; there are img, text"):
        load_parquet(tmp_path / "pets.parquet", "pets", Columns())
