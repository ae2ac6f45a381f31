"""Image folders."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.data.trees import png, write_folder
from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnknownSource, UnreadableFile, UnreadableImage
from training.data.folder import load_folder


def test_class_folders_are_a_training_split(tmp_path: Path) -> None:
    data = load_folder(write_folder(tmp_path, {"cat": 2, "ant": 1}), "pets")
    assert (data.name, data.labels, data.test) == ("pets", ("ant", "cat"), None)
    assert data.train.targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize("train", ["train", "Train", "Training", "TRAIN"])
@pytest.mark.parametrize("part", ["test", "Test", "TEST", "Testing", "eval", "evaluation"])
def test_a_held_back_folder_is_the_test_split(tmp_path: Path, train: str, part: str) -> None:
    write_folder(tmp_path / train, {"ant": 1, "cat": 1})
    write_folder(tmp_path / part, {"cat": 3})
    data = load_folder(tmp_path, "pets")
    assert data.test is not None
    assert data.labels == ("ant", "cat")
    assert data.test.targets.tolist() == [1, 1, 1]
    assert data.test.labels == data.labels


@pytest.mark.parametrize("part", ["validation", "Validation", "valid", "val", "dev"])
@pytest.mark.parametrize("tested", [True, False])
def test_a_validation_folder_is_what_is_chosen_by_and_never_the_test_split(
    tmp_path: Path, part: str, tested: bool
) -> None:
    write_folder(tmp_path / "train", {"ant": 1, "cat": 1})
    write_folder(tmp_path / part, {"cat": 3})
    if tested:
        write_folder(tmp_path / "test", {"ant": 2})
    data = load_folder(tmp_path, "pets")
    assert data.validation is not None
    assert data.validation.targets.tolist() == [1, 1, 1]
    assert (data.test is not None) == tested


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    data = load_folder(write_folder(tmp_path, {"test": 2, "train": 1, "other": 1}), "exams")
    assert (data.labels, len(data.train), data.test) == (("other", "test", "train"), 4, None)


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for part in ("train", "test", "eval"):
        write_folder(tmp_path / part, {"ant": 1, "cat": 1})
    with pytest.raises(UnknownSource, match="eval and test are both the test split"):
        load_folder(tmp_path, "pets")


def test_a_folder_beside_splits_that_is_none_is_not_left_out_in_silence(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 1, "cat": 1})
    write_folder(tmp_path / "more", {"ant": 1})
    with pytest.raises(UnknownLabel, match=r"more: beside train/ it is neither a split nor a class"):
        load_folder(tmp_path, "pets")


def test_images_in_linked_folders_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", {"red": 3})
    write_folder(tmp_path / "pets", {"ant": 1, "cat": 1})
    (tmp_path / "pets" / "ant" / "linked").symlink_to(tmp_path / "elsewhere" / "red")
    assert len(load_folder(tmp_path / "pets", "pets").train) == 5


def test_a_circle_of_links_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 1, "cat": 1})
    (tmp_path / "ant" / "again").symlink_to(tmp_path / "ant")
    with pytest.raises(UnreadableFile, match="ant/again: a link to a folder that it is in"):
        load_folder(tmp_path, "pets")


@pytest.mark.parametrize("place", ["ant", "."])
def test_a_link_to_nothing_is_named(tmp_path: Path, place: str) -> None:
    write_folder(tmp_path, {"ant": 1, "cat": 1})
    (tmp_path / place / "gone.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(MissingPath, match=r"gone\.png: a link to nothing"):
        load_folder(tmp_path, "pets")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is closed to the superuser, so the system call refuses instead."""
    write_folder(tmp_path, {"ant": 1, "cat": 1})
    (tmp_path / "ant" / "closed").mkdir()
    listed = Path.iterdir

    def refused(path: Path) -> Iterator[Path]:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(UnreadableFile, match=r"ant/closed: Permission denied"):
        load_folder(tmp_path, "pets")


def test_an_image_beside_the_class_folders_is_not_left_out_in_silence(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 1, "cat": 1})
    (tmp_path / "lost.PNG").write_bytes(png())
    (tmp_path / "README.txt").write_text("pets")
    with pytest.raises(UnknownLabel, match=r"lost\.PNG: an image outside of every class folder"):
        load_folder(tmp_path, "pets")


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
