"""Reading and writing what a user names."""

from pathlib import Path

import pytest

from mimi.errors import UnreadableFile, UnwritableFile
from mimi.files import read_file, write_file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_file(path, b"old")
    write_file(path, b"new")
    assert read_file(path) == b"new"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFile, match=str(tmp_path)):
        read_file(tmp_path / name)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnwritableFile, match="below: "):
        write_file(tmp_path / "file" / "below", b"")
