"""Lists of images: one line an image, with its path under a folder, a space, and the number of its class.

The form in which DomainNet and VTAB-1k splits are passed on. Decodes nothing, but sees that every file is there, so
that a set that was unpacked in part is noticed before hours of training.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.errors import MissingPath, TooFewImages, UnreadableFile
from training.data.sets import check_range


class Listed(NamedTuple):
    """What a list says: files and their classes, in its order."""

    files: tuple[Path, ...]
    targets: NDArray[np.int64]  # (n,)


def read_list(path: Path, folder: Path, *, classes: int, remedy: str) -> Listed:
    """Read a list whose paths are under `folder`; `remedy` ends every message about a file that is not there.

    Raises:
        MissingPath: the list or an image in it does not exist.
        UnreadableFile: it is no text, or a line is not a path and a number.
        UnknownLabel: a number is not below `classes`.
        TooFewImages: there is no line in it.
    """
    entries = [_parse(path, number, line) for number, line in enumerate(_lines(path, remedy), 1)]
    if not entries:
        raise TooFewImages(f"{path}: no image in it")
    targets = np.array([target for _, target in entries], np.int64)
    check_range(targets, classes, str(path), "line", first=1)
    files = tuple(folder / entry for entry, _ in entries)
    missing = next((i for i, file in enumerate(files) if not file.is_file()), None)
    if missing is not None:
        raise MissingPath(f"{path}: line {missing + 1} names {files[missing]}, which does not exist; {remedy}")
    return Listed(files, targets)


def joined(*parts: Listed) -> Listed:
    """Several lists, one after another."""
    files = tuple(file for part in parts for file in part.files)
    return Listed(files, np.concatenate([part.targets for part in parts]))


def _lines(path: Path, remedy: str) -> list[str]:
    """The lines, without empty ones at the end."""
    try:
        return path.read_text(encoding="utf-8").rstrip().splitlines()
    except FileNotFoundError as error:
        raise MissingPath(f"{path} does not exist; {remedy}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path}: not a readable list of images ({error})") from error


def _parse(path: Path, number: int, line: str) -> tuple[str, int]:
    """Path and class; a path may hold spaces."""
    try:
        entry, label = line.rsplit(maxsplit=1)
        return entry, int(label)
    except ValueError as error:
        raise UnreadableFile(f"{path}: line {number} is not a path and a class number: {line[:80]!r}") from error
