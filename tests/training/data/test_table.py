"""Arrow tables in the Hugging Face layout, their columns and labels."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.training.data.trees import cells, png
from training.data.errors import UnknownLabel, UnreadableImage, WrongColumn
from training.data.table import Columns, table_set

NAMES = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["ant", "cat"]}}}})}


def table(labels: object, images: object = None) -> pa.Table:
    return pa.table({"image": pa.array(cells(2) if images is None else images), "label": pa.array(labels)})


def test_class_names_come_from_the_schema() -> None:
    images = table_set(table([1, 0]).replace_schema_metadata(NAMES), "t", Columns())
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
        table_set(table([0, label]).replace_schema_metadata(NAMES), "t", Columns())


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
