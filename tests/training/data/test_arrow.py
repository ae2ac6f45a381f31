"""Arrow tables in the Hugging Face layout, their columns and labels."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.data.trees import cells, png, write_parquet
from training.data.arrow import Columns, load_hub, load_parquet, table_set
from training.data.errors import (
    HubUnavailable,
    MissingPath,
    UnknownLabel,
    UnknownSource,
    UnreadableFile,
    UnreadableImage,
    WrongColumn,
)

METADATA = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["ant", "cat"]}}}})}


def table(labels: object, images: object = None) -> pa.Table:
    return pa.table({"image": pa.array(cells(2) if images is None else images), "label": pa.array(labels)})


def test_class_names_come_from_the_schema() -> None:
    images = table_set(table([1, 0]).replace_schema_metadata(METADATA), "t", Columns())
    assert (images.labels, images.targets.tolist()) == (("ant", "cat"), [1, 0])


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": null}', b'{"info": {"features": {"label": {}}}}'])
def test_labels_without_names_are_their_numbers(metadata: bytes) -> None:
    images = table_set(table([1, 0]).replace_schema_metadata({b"huggingface": metadata}), "t", Columns())
    assert images.labels == ("0", "1")


def test_string_labels_name_themselves() -> None:
    images = table_set(table(["cat", "ant"]), "t", Columns())
    assert (images.labels, images.targets.tolist()) == (("ant", "cat"), [1, 0])


def test_images_may_be_plain_bytes() -> None:
    images = table_set(table([0, 1], [png(1), png(2)]), "t", Columns())
    assert images.image(1).getpixel((0, 0)) == (2, 2, 2)


def test_columns_may_have_other_names() -> None:
    renamed = table([0, 1]).rename_columns(["picture", "kind"])
    assert len(table_set(renamed, "t", Columns("picture", "kind"))) == 2


def test_another_split_is_numbered_as_the_training_split() -> None:
    images = table_set(table(["cat", "cat"]), "t", Columns(), labels=("ant", "bee", "cat"))
    assert (images.labels, images.targets.tolist()) == (("ant", "bee", "cat"), [2, 2])


def test_a_class_unknown_to_the_training_split_is_refused() -> None:
    with pytest.raises(UnknownLabel, match="t: row 1 is of class 'dog'"):
        table_set(table(["ant", "dog"]), "t", Columns(), labels=("ant", "cat"))


@pytest.mark.parametrize("label", [-1, 2, 2**40])
def test_a_label_out_of_range_is_refused(label: int) -> None:
    with pytest.raises(UnknownLabel, match=f"t: row 1 has label {label}, but there are 2"):
        table_set(table([0, label]).replace_schema_metadata(METADATA), "t", Columns())


def test_a_missing_label_is_refused() -> None:
    with pytest.raises(UnknownLabel, match="t: row 1 has no label"):
        table_set(table([0, None]), "t", Columns())


@pytest.mark.parametrize("columns", [Columns("img"), Columns(label="class")])
def test_an_absent_column_is_refused_and_those_there_are_named(columns: Columns) -> None:
    with pytest.raises(WrongColumn, match=r"no column '(img|class)'; there are image, label"):
        table_set(table([0, 1]), "t", columns)


def test_a_column_without_encoded_images_is_refused() -> None:
    with pytest.raises(WrongColumn, match="column 'label' holds int64, not encoded images"):
        table_set(table([0, 1]), "t", Columns(image="label"))


def test_labels_that_are_neither_integers_nor_strings_are_refused() -> None:
    with pytest.raises(WrongColumn, match="column 'label' holds double"):
        table_set(table([0.5, 1.0]), "t", Columns())


@pytest.mark.parametrize("cell", [{"bytes": None, "path": "gone.png"}, {"bytes": None, "path": None}])
def test_a_row_without_bytes_is_named(cell: dict[str, str | None]) -> None:
    images = table_set(table([0, 1], [{"bytes": png(), "path": None}, cell]), "t", Columns())
    with pytest.raises(UnreadableImage, match="t: row 1: there are no image bytes"):
        images.image(1)


def test_numpy_integers_survive_the_way() -> None:
    assert table_set(table(np.array([0, 1], np.int32)), "t", Columns()).targets.dtype == np.int64


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


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pytest.importorskip("datasets").config
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)


def test_splits_names_and_images_come_through(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pets" / "train.parquet", [0, 1], names=NAMES)
    write_parquet(tmp_path / "pets" / "validation.parquet", [1], names=NAMES)
    data = load_hub(str(tmp_path / "pets"), "hf:pets", Columns())
    assert data.validation is not None
    assert (data.labels, data.train.targets.tolist(), data.validation.targets.tolist()) == (NAMES, [0, 1], [1])
    assert data.test is None
    assert data.train.image(1).getpixel((0, 0)) == (1, 1, 1)
    assert data.train.where(1) == "hf:pets (train): row 1"


def test_a_set_without_a_training_split_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pets" / "test.parquet", [0, 1], names=NAMES)
    with pytest.raises(UnknownSource, match="no split called train, only test"):
        load_hub(str(tmp_path / "pets"), "hf:pets", Columns())


def test_without_a_network_the_error_says_what_to_do() -> None:
    with pytest.raises(HubUnavailable, match=r"hf:nobody/nothing: could not be loaded.*give a folder or a Parquet"):
        load_hub("nobody/nothing", "hf:nobody/nothing", Columns())


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HubUnavailable, match=r"mimi-serving\[hub\]"):
        load_hub("pets", "hf:pets", Columns())


@pytest.mark.parametrize(
    ("part", "split"), [("Test", "test"), ("eval", "test"), ("valid", "validation"), ("dev", "validation")]
)
def test_parquet_files_are_splits_by_name_in_any_case(tmp_path: Path, part: str, split: str) -> None:
    write_parquet(tmp_path / "Training.parquet", [0, 1], names=NAMES)
    write_parquet(tmp_path / f"{part}.parquet", [1], names=NAMES)
    data = load_parquet(tmp_path, "pets", Columns())
    found = {"test": data.test, "validation": data.validation}
    assert {name: images.targets.tolist() for name, images in found.items() if images} == {split: [1]}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    for shard in (0, 2):
        write_parquet(tmp_path / f"train-0000{shard}-of-00003.parquet", [0, 1], names=NAMES)
    with pytest.raises(MissingPath, match=r"train-00001-of-00003\.parquet missing"):
        load_parquet(tmp_path, "pets", Columns())


def test_a_file_of_no_split_is_not_left_out_in_silence(tmp_path: Path) -> None:
    for name in ("train", "more"):
        write_parquet(tmp_path / f"{name}.parquet", [0, 1], names=NAMES)
    with pytest.raises(UnknownSource, match=r"more\.parquet: .* in no split"):
        load_parquet(tmp_path, "pets", Columns())


def test_shards_that_list_their_classes_in_another_order_mean_the_same_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [0, 1], names=("ant", "cat"))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [0, 0, 1], names=("cat", "ant"))
    data = load_parquet(tmp_path, "pets", Columns())
    assert (data.labels, data.train.targets.tolist()) == (("ant", "cat"), [0, 1, 1, 1, 0])


def test_a_shard_with_a_class_of_its_own_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [0, 1], names=("ant", "cat"))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [1], names=("cat", "dog"))
    with pytest.raises(UnknownLabel, match="class 'dog'"):
        load_parquet(tmp_path, "pets", Columns())
