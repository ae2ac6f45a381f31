"""Files with one line an image, CSV or JSON Lines: its path, and its label or labels.

The first line of a CSV file names the columns; a line of JSON is an object. Paths are under the file's folder. Labels:

    one column                      the class of each image: "cat"
    one column with separators      CSV: any number of labels: "red;round", with ; or | between them, or nothing
    lists                           JSON: any number of labels: ["red", "round"], or []
    several columns of 0 and 1      any number of labels, each a column: the label column is "red,round"

A column `split` says which lines are train, validation and test; without it all are for training. `metadata.csv` or
`metadata.jsonl` in a folder, or in a folder for each split, is Hugging Face's ImageFolder: it names every image there.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.arrow import Columns
from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableFile, WrongColumn
from training.data.files import IMAGES, FileSet
from training.data.labels import LabelLists, sorted_names
from training.data.sets import Data, split_of, splits_among
from training.errors import DamagedRows
from training.jsonl import numbered_rows

PATHS = ("file_name", "path", "image")  # columns that hold the path, where none is named
SEPARATORS = (";", "|")
SPLIT = "split"
ALL = "all"  # splits, of one file
SUFFIXES = (".csv", ".jsonl")
_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}

Cell = str | list[str]
Line = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file: each has all `columns`. `numbers` are those of the rows' lines in the file."""

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[Line]
    numbers: Sequence[int]

    def where(self, row: int) -> str:
        """File and line, for messages."""
        return f"{self.path}: line {self.numbers[row]}"

    def text(self, row: int, column: str) -> str:
        """A cell that is no list.

        Raises:
            WrongColumn: it is one.
        """
        cell = self.rows[row][column]
        if isinstance(cell, str):
            return cell.strip()
        raise WrongColumn(f"{self.where(row)} has a list in {column!r}")


def load_listing(path: Path, name: str, columns: Columns) -> Data:
    """The splits of a file.

    Raises:
        UnreadableFile: it is no text in UTF-8, a line of CSV has another number of columns, or one is no JSON object.
        WrongColumn: a column is not there, or one of several label columns holds something else than 0 and 1.
        UnknownLabel: a line has no class or an unknown split, or another split has a label that training lacks.
        MissingPath: an image is not there, or no line is for training.
        TooFewImages: there is no line.
    """
    lines = _read(path)
    labels = _LabelColumn(lines, columns.label)
    return _data(str(path), name, {split: _Part(labels, rows) for split, rows in _splits(lines).items()}, columns)


def load_metadata(root: Path, name: str, columns: Columns) -> Data | None:
    """The images that `metadata` files name: one file in `root`, or one in the folder of each split.

    In one file without a column of splits, the first folder of an image's path is its split, where all have one.

    Returns:
        None where there is no such file, or where it has none of the label columns: then folders may be classes.

    Raises:
        DataError: as `load_listing`; UnknownLabel also for an image that is not named.
    """
    files = _files_of(root)
    found = {split: _read(file) for split, file in files.items()}
    wanted = [column.strip() for column in columns.label.split(",")]
    if not found or not all(set(wanted) <= set(lines.columns) for lines in found.values()):
        return None
    labels = {split: _LabelColumn(lines, columns.label) for split, lines in found.items()}
    for lines in found.values():
        _check_complete(lines, columns)
    if (alone := labels.get(ALL)) is not None:
        parts = {split: _Part(alone, rows) for split, rows in _splits(alone.lines, columns).items()}
    else:
        parts = {split: _Part(column, range(len(column.lines.rows))) for split, column in labels.items()}
    return _data(str(root), name, parts, columns)


def _files_of(root: Path) -> dict[str, Path]:
    """The file of each split, or one of `ALL`."""
    if alone := _metadata(root):
        return {ALL: alone}
    try:
        names = [path.name for path in root.iterdir() if path.is_dir()]
    except OSError as error:
        raise UnreadableFile(f"{root}: {error.strerror}") from error
    files = {split: _metadata(root / name) for split, name in splits_among(names, str(root)).items()}
    found = {split: file for split, file in files.items() if file}
    if found and (missing := sorted(files.keys() - found)):
        raise MissingPath(f"{root}: its {missing[0]} split has no metadata file, as the others have")
    return found


def _metadata(folder: Path) -> Path | None:
    places = [folder / f"metadata{suffix}" for suffix in SUFFIXES]
    return next((place for place in places if place.is_file()), None)


def _check_complete(lines: Lines, columns: Columns) -> None:
    """No image is left out silently."""
    image, folder = _image_column(lines, columns.image), lines.path.parent
    named = {folder / lines.text(row, image) for row in range(len(lines.rows))}
    files = (file for file in folder.rglob("*") if file.suffix.lower() in IMAGES and not file.name.startswith("."))
    if missing := sorted(set(files) - named):
        raise UnknownLabel(f"{lines.path} does not name {missing[0].relative_to(folder)}, an image beside it")


@dataclass(frozen=True, slots=True)
class _Part:
    """The lines of one split."""

    labels: "_LabelColumn"
    rows: Sequence[int]


def _data(where: str, name: str, parts: Mapping[str, _Part], columns: Columns) -> Data:
    if "train" not in parts:
        raise MissingPath(f"{where}: no line is of the training split")
    names = parts["train"].labels.names(parts["train"].rows)
    several = any(part.labels.several for part in parts.values())

    def made(split: str) -> FileSet:
        labels, rows = parts[split].labels, parts[split].rows
        image = _image_column(labels.lines, columns.image)
        files = tuple(_existing(labels.lines, row, image) for row in rows)
        found = labels.targets(rows, names)
        return FileSet(f"{labels.lines.path} ({split})", names, found if several else found.argmax(1), files)

    held_back = {split: made(split) for split in ("validation", "test") if split in parts}
    return Data(name, names, made("train"), held_back.get("test"), validation=held_back.get("validation"))


class _LabelColumn:
    """The labels of all lines: exclusive classes, or any number of labels."""

    def __init__(self, lines: Lines, column: str) -> None:
        self.lines = lines
        self._columns = [each.strip() for each in column.split(",")]
        if missing := [each for each in self._columns if each not in lines.columns]:
            raise WrongColumn(f"{lines.path}: no column {missing[0]!r}; there are {', '.join(lines.columns)}")
        cells = [line[self._columns[0]] for line in lines.rows]
        self._separator = next((mark for mark in SEPARATORS if _is_csv(lines) and any(mark in c for c in cells)), None)
        lists = any(isinstance(cell, list) for cell in cells)
        self.several = len(self._columns) > 1 or self._separator is not None or lists
        self._lists = [self._list(row) for row in range(len(lines.rows))]

    def _list(self, row: int) -> list[str]:
        """The labels of one line."""
        if len(self._columns) > 1:
            return [column for column in self._columns if self._flag(row, self.lines.text(row, column))]
        cell = self.lines.rows[row][self._columns[0]]
        if isinstance(cell, str) and self._separator is not None:
            cell = cell.split(self._separator)
        if isinstance(cell, list):
            return [label for each in cell if (label := each.strip())]
        if not cell.strip():
            raise UnknownLabel(f"{self.lines.where(row)} has no label")
        return [cell.strip()]

    def _flag(self, row: int, cell: str) -> bool:
        flag = _FLAGS.get(cell.lower())
        if flag is None:
            raise WrongColumn(f"{self.lines.where(row)} has {cell!r} in a label's column, which holds 0 and 1")
        return flag

    def names(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Label names: those of the training lines, or the columns."""
        if len(self._columns) > 1:
            return tuple(self._columns)
        return sorted_names(label for row in rows for label in self._lists[row])

    def targets(self, rows: Sequence[int], names: tuple[str, ...]) -> np.ndarray:
        """(n, K): 1 for each label that an image has."""
        return LabelLists([self._lists[row] for row in rows], names).targets(names, str(self.lines.path))


def _is_csv(lines: Lines) -> bool:
    return lines.path.suffix.lower() == ".csv"


def _read(path: Path) -> Lines:
    lines = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
    if not lines.rows:
        raise TooFewImages(f"{path}: no image in it")
    return lines


def _read_csv(path: Path) -> Lines:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            found = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"{path}: not a readable CSV file ({error})") from error
    if len(set(header)) < len(header):
        raise WrongColumn(f"{path}: two columns have one name")
    numbers, rows = [number for number, _ in found], [row for _, row in found]
    wrong = next((index for index, row in enumerate(rows) if len(row) != len(header)), None)
    if wrong is not None:
        raise UnreadableFile(f"{path}: line {numbers[wrong]} has {len(rows[wrong])} columns, the first {len(header)}")
    return Lines(path, tuple(header), [dict(zip(header, row, strict=True)) for row in rows], numbers)


def _read_json(path: Path) -> Lines:
    """The lines of objects; a key that a line lacks is an empty cell."""
    try:
        found = numbered_rows(path)
    except DamagedRows as error:
        raise UnreadableFile(str(error)) from error
    rows = [{key: _cell(value) for key, value in row.items()} for _, row in found]
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    complete = [{key: row.get(key, "") for key in columns} for row in rows]
    return Lines(path, columns, complete, [number for number, _ in found])


def _cell(value: object) -> Cell:
    return list(map(_text, value)) if isinstance(value, list) else _text(value)


def _text(value: object) -> str:
    """A value of JSON as a cell of CSV has it; an object, which is neither path nor label, as its text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _image_column(lines: Lines, named: str) -> str:
    """The named column, or one that usually holds paths if it is not there."""
    found = next((column for column in (named, *PATHS) if column in lines.columns), None)
    if found is None:
        there = ", ".join(lines.columns)
        raise WrongColumn(f"{lines.path}: no column of paths; there are {there}: choose one with --image-column")
    return found


def _splits(lines: Lines, metadata: Columns | None = None) -> dict[str, list[int]]:
    """The lines of each split; of a `metadata` file also by the folders of its images."""
    rows = range(len(lines.rows))
    if SPLIT in lines.columns:
        named = [lines.text(row, SPLIT) for row in rows]
    elif metadata:
        image = _image_column(lines, metadata.image)
        named = [lines.text(row, image).replace("\\", "/").partition("/")[0] for row in rows]
        if not all(map(split_of, named)):
            named = ["train"] * len(rows)
    else:
        named = ["train"] * len(rows)
    parts: dict[str, list[int]] = {}
    for row, text in enumerate(named):
        split = split_of(text)
        if split is None:
            raise UnknownLabel(f"{lines.where(row)} is of split {text!r}")
        parts.setdefault(split, []).append(row)
    return parts


def _existing(lines: Lines, row: int, image: str) -> Path:
    file = lines.path.parent / lines.text(row, image)
    if not file.is_file():
        raise MissingPath(f"{lines.where(row)} names {file}, which does not exist")
    return file
