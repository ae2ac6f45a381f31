"""The file of corrections: its order, its bounds, and what is left of a deleted image."""

import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import FeedbackFull, FeedbackUnavailable, UnknownFeedback
from service.feedback.storage import Correction, FeedbackFile, Opinion

SURE, UNSURE = Opinion(1, "cat", 0.9, 0.5), Opinion(1, "cat", 0.4, 0.5)
UNKNOWN, SILENT = Opinion(1, "cat", 0.99, 1.5), Opinion(2, "dog", 0.6, None)


def opened(path: Path, *, images: int = 10, size: int = 1000) -> FeedbackFile:
    return FeedbackFile(path, most_images=images, most_bytes=size, clock=lambda: 7.0)


def correction(image: bytes, opinion: Opinion = SURE, task: str = "pets", label: str = "dog") -> Correction:
    return Correction(task, (label,), image, opinion)


def test_unknown_images_come_first_then_uncertain_ones(tmp_path: Path) -> None:
    file = opened(tmp_path / "folder" / "feedback.db")
    for name, opinion in (("sure", SURE), ("unsure", UNSURE), ("unknown", UNKNOWN), ("silent", SILENT)):
        file.add(correction(name.encode(), opinion))
    file.add(correction(b"other", UNKNOWN, task="cars"))
    found = file.list("pets", limit=10)
    assert [file.image("pets", each.id) for each in found] == [b"unknown", b"unsure", b"silent", b"sure"]
    assert (found[0].opinion, found[0].labels, found[0].size, found[0].created_at) == (UNKNOWN, ("dog",), 7, 7.0)
    assert file.list("pets", limit=1, offset=1) == found[1:2]
    assert len(file.list(None, limit=10)) == 5


def test_a_later_correction_of_the_same_image_replaces_the_earlier_one(tmp_path: Path) -> None:
    file = opened(tmp_path / "feedback.db", images=1)
    file.add(correction(b"image"))
    kept = file.add(correction(b"image", label="fish"))
    assert [each.labels for each in file.list("pets", limit=10)] == [("fish",)] == [kept.labels]


@pytest.mark.parametrize(("images", "size"), [(2, 1000), (10, 10)])
def test_what_is_full_refuses_and_drops_nothing(tmp_path: Path, images: int, size: int) -> None:
    file = opened(tmp_path / "feedback.db", images=images, size=size)
    file.add(correction(b"first"))
    file.add(correction(b"other"))
    with pytest.raises(FeedbackFull):
        file.add(correction(b"third"))
    assert len(file.list("pets", limit=10)) == 2
    file.add(correction(b"other", label="fish"))
    file.delete("pets", file.list("pets", limit=1)[0].id)
    file.add(correction(b"third"))


def test_what_is_deleted_is_gone_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    file = opened(path, size=10**6)
    secret = b"a face that nobody may see" * 50
    number = file.add(correction(secret)).id
    with pytest.raises(UnknownFeedback):
        file.delete("cars", number)
    assert file.delete("pets", number) == 1
    for left in tmp_path.iterdir():
        assert b"a face that nobody may see" not in left.read_bytes()
    for gone in (lambda: file.delete("pets", number), lambda: file.image("pets", number)):
        with pytest.raises(UnknownFeedback):
            gone()


def test_all_corrections_of_one_task_are_deleted(tmp_path: Path) -> None:
    file = opened(tmp_path / "feedback.db")
    for name in (b"1", b"2"):
        file.add(correction(name))
    file.add(correction(b"3", task="cars"))
    assert (file.delete("pets"), file.delete("pets"), len(file.list(None, limit=9))) == (2, 0, 1)


def test_another_program_s_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.close()
    (tmp_path / "text").write_text("no database " * 1000)
    for wrong in (path, tmp_path, tmp_path / "text"):
        with pytest.raises(FeedbackUnavailable):
            opened(wrong)


def test_only_the_owner_may_read_and_another_server_sees_the_same(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    one, two = opened(path), opened(path)
    kept = one.add(replace(correction(b"x"), labels=("dog", "wet")))
    assert two.list("pets", limit=1) == [kept]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
