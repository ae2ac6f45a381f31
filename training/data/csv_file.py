"""A CSV file with one line an image: its path, and its label or labels.

The first line names the columns. Paths are under the file's folder. Labels are

    one column                      the class of each image: "cat"
    one column with separators      any number of labels: "red;round", with ; or | between them, or nothing
    several columns of 0 and 1      any number of labels, each a column: the label column is "red,round"

A column `split` says which lines are train, validation and test; without it all are for training.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.data.arrow import Columns
from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableFile, WrongColumn
from training.data.files import FileSet
from training.data.labels import LabelLists, sorted_names
from training.data.sets import Data, split_of

PATHS = ("file_name", "path", "image")  # columns that hold the path, where none is named
SEPARATORS = (";", "|")
SPLIT = "split"
_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}

Line = Mapping[str, str]


def load_csv(path: Path, name: str, columns: Columns) -> Data:
    """The splits of a CSV file.

    Raises:
        UnreadableFile: it is no text in UTF-8, or a line has another number of columns.
        WrongColumn: a column is not there, or one of several label columns holds something else than 0 and 1.
        UnknownLabel: a line has no class or an unknown split, or another split has a label that training lacks.
        MissingPath: an image is not there, or no line is for training.
        TooFewImages: there is no line.
    """
    lines = _read(path)
    image = _image_column(lines[0], columns.image, path)
    labels = _LabelColumn(lines, columns.label, path)
    parts = _splits(lines, path)
    if "train" not in parts:
        raise MissingPath(f"{path}: no line is of the training split")
    names = labels.names(parts["train"])

    def part(split: str) -> FileSet | None:
        rows = parts.get(split)
        if rows is None:
            return None
        files = tuple(_existing(path, row, lines[row][image]) for row in rows)
        return FileSet(f"{path} ({split})", names, labels.targets(rows, names), files)

    train = part("train")
    if train is None:
        raise MissingPath(f"{path}: no line is of the training split")
    return Data(name, names, train, part("test"), validation=part("validation"))


class _LabelColumn:
    """The labels of all lines: exclusive classes, or any number of labels."""

    def __init__(self, lines: Sequence[Line], column: str, path: Path) -> None:
        self._path = path
        self._columns = [each.strip() for each in column.split(",")]
        if missing := [each for each in self._columns if each not in lines[0]]:
            raise WrongColumn(f"{path}: no column {missing[0]!r}; there are {', '.join(lines[0])}")
        cells = [line[self._columns[0]] for line in lines]
        self._separator = next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), None)
        self._several = len(self._columns) > 1 or self._separator is not None
        self._lists = [self._list(row, line) for row, line in enumerate(lines)]

    def _list(self, row: int, line: Line) -> list[str]:
        """The labels of one line."""
        if len(self._columns) > 1:
            return [column for column in self._columns if self._flag(row, line[column])]
        if self._separator is not None:
            return [part for each in line[self._columns[0]].split(self._separator) if (part := each.strip())]
        label = line[self._columns[0]].strip()
        if not label:
            raise UnknownLabel(f"{self._path}: line {row + 2} has no label")
        return [label]

    def _flag(self, row: int, cell: str) -> bool:
        flag = _FLAGS.get(cell.strip().lower())
        if flag is None:
            raise WrongColumn(f"{self._path}: line {row + 2} has {cell!r} in a label's column, which holds 0 and 1")
        return flag

    def names(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Label names: those of the training lines, or the columns."""
        if len(self._columns) > 1:
            return tuple(self._columns)
        return sorted_names(label for row in rows for label in self._lists[row])

    def targets(self, rows: Sequence[int], names: tuple[str, ...]) -> np.ndarray:
        """Classes (n,), or labels (n, K)."""
        found = LabelLists([self._lists[row] for row in rows], names).targets(names, str(self._path))
        return found if self._several else found.argmax(1)


def _read(path: Path) -> list[Line]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            rows = [row for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"{path}: not a readable CSV file ({error})") from error
    if not rows:
        raise TooFewImages(f"{path}: no image in it")
    if len(set(header)) < len(header):
        raise WrongColumn(f"{path}: two columns have one name")
    wrong = next((index for index, row in enumerate(rows) if len(row) != len(header)), None)
    if wrong is not None:
        raise UnreadableFile(f"{path}: image {wrong + 1} has {len(rows[wrong])} columns, the first line {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _image_column(line: Line, named: str, path: Path) -> str:
    """The named column, or one that usually holds paths if it is not there."""
    found = next((column for column in (named, *PATHS) if column in line), None)
    if found is None:
        raise WrongColumn(f"{path}: no column of paths; there are {', '.join(line)}: choose one with --image-column")
    return found


def _splits(lines: Sequence[Line], path: Path) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    for row, line in enumerate(lines):
        split = split_of(line[SPLIT].strip()) if SPLIT in line else "train"
        if split is None:
            raise UnknownLabel(f"{path}: line {row + 2} is of split {line[SPLIT]!r}")
        parts.setdefault(split, []).append(row)
    return parts


def _existing(path: Path, row: int, name: str) -> Path:
    file = path.parent / name
    if not file.is_file():
        raise MissingPath(f"{path}: line {row + 2} names {file}, which does not exist")
    return file
