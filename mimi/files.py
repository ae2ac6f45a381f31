"""Reads and writes files that a user names. Errors name the file."""

import re
from pathlib import Path

from mimi.errors import UnreadableFile, UnwritableFile


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        UnreadableFile: it does not exist, is a folder, or may not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write the whole file, or leave the old one as it was.

    Raises:
        UnwritableFile: the folder cannot be made, or the file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)  # a reader sees the old file or the new one, never half of it
    except OSError as error:
        raise UnwritableFile(f"{path}: {error.strerror}") from error


def slug(name: str) -> str:
    """A task id, or a folder's name, made of a data set's name: without what neither may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_").lower() or "run"
