"""CSV files of paths and labels: one class, several labels behind separators or in columns, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import load_data
from training.data.errors import DataError, MissingPath, TooFewImages, UnknownLabel, UnreadableFile, WrongColumn


def written(folder: Path, text: str, images: int = 4) -> str:
    for index in range(images):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(folder / f"{index}.png")
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return str(folder / "labels.csv")


def test_one_column_is_the_class_of_each_image(tmp_path: Path) -> None:
    data = load_data(written(tmp_path, "file_name,label\n0.png,dog\n1.png,cat\n2.png,dog\n"))
    assert (data.labels, data.train.targets.tolist(), data.test) == (("cat", "dog"), [1, 0, 1], None)
    assert data.train.image(1).getpixel((0, 0)) == (1, 0, 0)


def test_numbers_are_classes_in_their_own_order(tmp_path: Path) -> None:
    assert load_data(written(tmp_path, "path,label\n0.png,10\n1.png,9\n")).labels == ("9", "10")


@pytest.mark.parametrize("mark", [";", "|"])
def test_labels_behind_separators_are_any_number(tmp_path: Path, mark: str) -> None:
    text = f"file_name,label\n0.png,red{mark}round\n1.png,\n2.png,round\n3.png, red {mark}\n"
    data = load_data(written(tmp_path, text))
    assert data.labels == ("red", "round")
    assert data.train.targets.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]


def test_labels_in_columns_are_any_number(tmp_path: Path) -> None:
    text = "file_name,round,red,note\n0.png,1,0,x\n1.png,,true,y\n2.png,0,False,z\n"
    data = load_data(written(tmp_path, text), label_column="red, round")
    assert data.labels == ("red", "round")
    assert data.train.targets.tolist() == [[0, 1], [1, 0], [0, 0]]


def test_a_column_says_the_split(tmp_path: Path) -> None:
    text = "file_name,label,split\n0.png,a;b,train\n1.png,b,test\n2.png,a,Training\n3.png,a,val\n"
    data = load_data(written(tmp_path, text))
    assert data.test is not None
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [2, 1, 1]
    assert np.array_equal(data.test.targets, [[0, 1]])


BAD: dict[str, tuple[type[DataError], str, str]] = {
    "nothing": (TooFewImages, "", "label"),
    "no image": (TooFewImages, "file_name,label\n", "label"),
    "a column too many": (UnreadableFile, "file_name,label\n0.png,a,b\n", "label"),
    "a quote that stays open": (UnreadableFile, 'file_name,label\n0.png,"a\n', "label"),
    "no path": (WrongColumn, "image_id,label\n0.png,a\n", "label"),
    "no label column": (WrongColumn, "file_name,class\n0.png,a\n", "label"),
    "no column of one label": (WrongColumn, "file_name,red\n0.png,1\n", "red,round"),
    "two columns of one name": (WrongColumn, "file_name,label,label\n0.png,a,b\n", "label"),
    "something else than 0 and 1": (WrongColumn, "file_name,red,round\n0.png,1,2\n", "red,round"),
    "no class": (UnknownLabel, "file_name,label\n0.png,a\n1.png,\n", "label"),
    "an unknown split": (UnknownLabel, "file_name,label,split\n0.png,a,later\n", "label"),
    "a label of the test split alone": (UnknownLabel, "file_name,label,split\n0.png,a,train\n1.png,b,test\n", "label"),
    "no training split": (MissingPath, "file_name,label,split\n0.png,a,test\n", "label"),
    "no such image": (MissingPath, "file_name,label\n9.png,a\n", "label"),
}


@pytest.mark.parametrize(("error", "text", "column"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_said_with_the_name_of_the_file(
    tmp_path: Path, error: type[DataError], text: str, column: str
) -> None:
    with pytest.raises(error, match=r"labels\.csv"):
        load_data(written(tmp_path, text), label_column=column)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file_name,label\n\xff,a\n")
    with pytest.raises(UnreadableFile):
        load_data(str(tmp_path / "labels.csv"))
