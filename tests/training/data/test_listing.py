"""JSON Lines of paths and labels, and folders with the metadata file that Hugging Face writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.trees import png
from training.data import check, load_data
from training.data.errors import DataError, MissingPath, TooFewImages, UnknownLabel, UnreadableFile, WrongColumn


def images(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(index))
    return folder


def lines(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_line_of_json_is_an_image_and_its_class(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "in/2.png")
    rows = [{"path": "0.png", "label": "dog"}, {"path": "1.png", "label": "c;t"}, {"path": "in/2.png", "label": "dog"}]
    data = load_data(lines(tmp_path / "set.jsonl", *rows))
    assert (data.labels, data.train.targets.tolist(), data.test) == (("c;t", "dog"), [1, 0, 1], None)
    assert data.train.image(2).getpixel((0, 0)) == (2, 2, 2)
    check(data)


def test_numbers_in_json_are_classes_in_their_own_order(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png")
    rows = [{"file_name": "0.png", "label": 10}, {"file_name": "1.png", "label": 9}]
    assert load_data(lines(tmp_path / "set.jsonl", *rows)).labels == ("9", "10")


def test_lists_in_json_are_any_number_of_labels(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png", "3.png")
    labels: list[object] = [["red", "round"], [], "round"]
    rows: list[dict[str, Any]] = [{"file_name": f"{row}.png", "label": label} for row, label in enumerate(labels)]
    data = load_data(lines(tmp_path / "set.jsonl", *rows))
    assert data.labels == ("red", "round")
    assert data.train.targets.tolist() == [[1, 1], [0, 0], [0, 1]]


def test_columns_of_true_and_false_are_labels(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png")
    rows: list[dict[str, Any]] = [{"red": True, "round": 0}, {"round": 1}, {}]
    rows = [{"file_name": f"{index}.png", **row} for index, row in enumerate(rows)]
    data = load_data(lines(tmp_path / "set.jsonl", *rows), label_column="red,round")
    assert data.train.targets.tolist() == [[1, 0], [0, 1], [0, 0]]


def test_a_column_of_json_says_the_split(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png")
    splits = ("train", "train", "test")
    rows = [{"image": f"{i}.png", "label": "ab"[i % 2], "split": split} for i, split in enumerate(splits)]
    data = load_data(lines(tmp_path / "set.jsonl", *rows))
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (2, 1)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_metadata_file_names_the_images_of_its_folder(tmp_path: Path, kind: str) -> None:
    images(tmp_path, "0.png", "more/1.png")
    if kind == "csv":
        (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,cat\nmore/1.png,dog\n")
    else:
        rows = [{"file_name": "0.png", "label": "cat"}, {"file_name": "more/1.png", "label": "dog"}]
        lines(tmp_path / "metadata.jsonl", *rows)
    data = load_data(str(tmp_path))
    assert (data.labels, data.train.targets.tolist(), data.test) == (("cat", "dog"), [0, 1], None)


def test_each_split_may_have_a_metadata_file(tmp_path: Path) -> None:
    images(tmp_path, "train/0.png", "train/1.png", "train/2.png", "test/0.png", "validation/0.png")
    (tmp_path / "train/metadata.csv").write_text("file_name,kind\n0.png,cat\n1.png,dog\n2.png,cat\n")
    lines(tmp_path / "test/metadata.jsonl", {"file_name": "0.png", "kind": ["dog", "cat"]})
    lines(tmp_path / "validation/metadata.jsonl", {"file_name": "0.png", "kind": "dog"})
    data = load_data(str(tmp_path), label_column="kind")
    assert data.test is not None
    assert data.validation is not None
    assert data.train.targets.tolist() == [[1, 0], [0, 1], [1, 0]]  # one list makes labels of all splits independent
    assert (data.test.targets.tolist(), data.validation.targets.tolist()) == ([[1, 1]], [[0, 1]])
    assert data.test.where(0) == str(tmp_path / "test/0.png")


def test_folders_in_paths_are_splits_where_one_file_names_all(tmp_path: Path) -> None:
    images(tmp_path, "train/0.png", "train/1.png", "test/0.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/0.png,a\ntrain/1.png,b\ntest/0.png,b\n")
    data = load_data(str(tmp_path))
    assert data.test is not None
    assert (data.train.targets.tolist(), data.test.targets.tolist()) == ([0, 1], [1])


def test_class_folders_beside_metadata_without_labels_are_classes(tmp_path: Path) -> None:
    images(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\ncat/0.png,a cat\ndog/0.png,a dog\n")
    assert load_data(str(tmp_path)).labels == ("cat", "dog")


def test_an_image_without_a_line_is_named(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "more/2.PNG")
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,a\n1.png,b\n")
    with pytest.raises(UnknownLabel, match=r"does not name more/2\.PNG"):
        load_data(str(tmp_path))


def test_a_split_without_metadata_is_named(tmp_path: Path) -> None:
    images(tmp_path, "train/0.png", "test/cat/0.png")
    (tmp_path / "train/metadata.csv").write_text("file_name,label\n0.png,cat\n")
    with pytest.raises(MissingPath, match="test split has no metadata"):
        load_data(str(tmp_path))


BAD: dict[str, tuple[type[DataError], str]] = {
    "nothing": (TooFewImages, ""),
    "no JSON": (UnreadableFile, '{"file_name": '),
    "no object": (UnreadableFile, '["0.png", "a"]'),
    "a list for a path": (WrongColumn, '{"file_name": ["0.png"], "label": "a"}'),
    "no path": (WrongColumn, '{"id": "0.png", "label": "a"}'),
    "no label column": (WrongColumn, '{"file_name": "0.png", "class": "a"}'),
    "no class": (UnknownLabel, '{"file_name": "0.png", "label": "a"}\n{"file_name": "0.png", "label": null}'),
    "an unknown split": (UnknownLabel, '{"file_name": "0.png", "label": "a", "split": "later"}'),
    "no training split": (MissingPath, '{"file_name": "0.png", "label": "a", "split": "test"}'),
    "no such image": (MissingPath, '{"file_name": "9.png", "label": "a"}'),
}


@pytest.mark.parametrize(("error", "text"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path: Path, error: type[DataError], text: str) -> None:
    images(tmp_path, "0.png")
    (tmp_path / "set.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=r"set\.jsonl"):
        load_data(str(tmp_path / "set.jsonl"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("set.csv", 'file_name,label\n0.png,"a\nb"\n\n9.png,b\n'),
        ("set.jsonl", '{"file_name": "0.png", "label": "a"}\n\n\n\n{"file_name": "9.png", "label": "b"}\n'),
    ],
)
def test_a_wrong_line_has_its_number_in_the_file(tmp_path: Path, name: str, text: str) -> None:
    images(tmp_path, "0.png")
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(MissingPath, match="line 5 names"):
        load_data(str(tmp_path / name))


def test_a_list_in_a_column_of_flags_is_refused(tmp_path: Path) -> None:
    images(tmp_path, "0.png")
    path = lines(tmp_path / "set.jsonl", {"file_name": "0.png", "red": [1], "round": 0})
    with pytest.raises(WrongColumn, match="line 1 has a list in 'red'"):
        load_data(path, label_column="red,round")
