"""Faults of a data set are found before training starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.data.trees import png, write_folder
from training.data import check, load_data
from training.data.errors import EmptyClass, SingleClass, TooFewImages, UnreadableImage


def test_a_good_data_set_passes(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 2, "cat": 2})
    write_folder(tmp_path / "test", {"ant": 1})
    check(load_data(str(tmp_path)))


def test_the_digits_pass() -> None:
    check(load_data("digits"))


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SingleClass, match=r"at least two classes are needed, found 'ant'"):
        check(load_data(str(write_folder(tmp_path, {"ant": 2}))))


def test_an_empty_class_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EmptyClass, match="no image of class 'bee', 'cat'"):
        check(load_data(str(write_folder(tmp_path, {"ant": 2, "bee": 0, "cat": 0}))))


def test_an_empty_class_of_a_protocol_is_not_refused(tmp_path: Path) -> None:
    data = load_data(str(write_folder(tmp_path, {"ant": 2, "bee": 0})))
    check(replace(data, fixed_labels=True))


def test_an_empty_test_split_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 1, "cat": 1})
    write_folder(tmp_path / "test", {"ant": 0})
    with pytest.raises(TooFewImages, match="test: no image in it"):
        check(load_data(str(tmp_path)))


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("data", [b"", b"GIF89a", png()[:40], png(side=4)])
def test_an_unreadable_image_is_named(tmp_path: Path, part: str, data: bytes) -> None:
    for each in ("train", "test"):
        write_folder(tmp_path / each, {"ant": 3, "cat": 3})
    bad = tmp_path / part / "cat" / "1.png"
    bad.write_bytes(data)
    with pytest.raises(UnreadableImage, match=f"^{bad}: "):
        check(load_data(str(tmp_path)))


def test_the_first_bad_image_is_the_one_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 40, "cat": 40})
    for name in ("ant/9.png", "cat/0.png", "cat/39.png"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=r"ant/9\.png"):
        check(load_data(str(tmp_path)))
