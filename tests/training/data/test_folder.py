"""Image folders."""

from pathlib import Path

import pytest

from tests.training.data.trees import png, write_folder
from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableImage
from training.data.folder import load_folder


def test_class_folders_are_a_training_split(tmp_path: Path) -> None:
    data = load_folder(write_folder(tmp_path, {"cat": 2, "ant": 1}), "pets")
    assert (data.name, data.labels, data.test) == ("pets", ("ant", "cat"), None)
    assert data.train.targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize("part", ["test", "validation", "valid", "val"])
def test_a_held_back_folder_is_the_test_split(tmp_path: Path, part: str) -> None:
    write_folder(tmp_path / "train", {"ant": 1, "cat": 1})
    write_folder(tmp_path / part, {"cat": 3})
    data = load_folder(tmp_path, "pets")
    assert data.test is not None
    assert data.test.targets.tolist() == [1, 1, 1]
    assert data.test.labels == data.labels


def test_an_image_is_decoded_when_asked_for(tmp_path: Path) -> None:
    train = load_folder(write_folder(tmp_path, {"ant": 1, "cat": 8}), "pets").train
    assert train.image(8).getpixel((0, 0)) == (7, 7, 7)
    assert train.where(8) == str(tmp_path / "cat" / "7.png")


def test_files_in_folders_below_belong_to_the_class(tmp_path: Path) -> None:
    write_folder(tmp_path / "ant", {"red": 2, "black": 1})
    write_folder(tmp_path, {"cat": 1})
    assert load_folder(tmp_path, "pets").train.targets.tolist() == [0, 0, 0, 1]


def test_what_file_managers_drop_is_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 1, "cat": 1, ".cache": 1})
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "ant" / name).write_bytes(b"junk")
    assert len(load_folder(tmp_path, "pets").train) == 2


def test_a_stray_file_is_not_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 1, "cat": 1})
    (tmp_path / "ant" / "notes.txt").write_text("six legs")
    with pytest.raises(UnreadableImage, match=r"ant/notes\.txt: the bytes are not an image"):
        load_folder(tmp_path, "pets").train.image(1)


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    train = load_folder(write_folder(tmp_path, {"ant": 1, "cat": 1}), "pets").train
    (tmp_path / "ant" / "0.png").unlink()
    with pytest.raises(UnreadableImage, match=r"ant/0\.png: No such file"):
        train.image(0)


def test_a_test_class_unknown_to_train_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 1, "cat": 1})
    write_folder(tmp_path / "test", {"dog": 1})
    with pytest.raises(UnknownLabel, match=r"test/dog: the training split has no class"):
        load_folder(tmp_path, "pets")


def test_a_test_split_alone_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "test", {"dog": 1})
    with pytest.raises(MissingPath, match=r"it has test/ but no train/"):
        load_folder(tmp_path, "pets")


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png())
    with pytest.raises(TooFewImages, match="no class folders"):
        load_folder(tmp_path, "pets")
