"""The images that a user names: files, folders, patterns, lists, tables, standard input. Each is read in its turn.

a file            an image; FILE.csv lists paths, FILE.parquet holds images or paths
a folder          every image below it, hidden ones left out
a pattern         what it matches: "photos/**/*.jpg"
-                 standard input: one image, or paths with a line (or a zero byte) after each
"""

import csv
import glob
import io
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimi.errors import NoImages, UnreadableFile
from mimi.files import read_file

if TYPE_CHECKING:
    import pyarrow.parquet as pq

STDIN = "-"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"\0\0\0")  # JPEG, PNG, WebP; AVIF and HEIF
_PATTERN = "*?["


@dataclass(frozen=True, slots=True)
class Picture:
    """An image by its name; `read` gives its bytes.

    `read` raises UnreadableFile if there are none.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where tables have their images: `path` of a CSV file, `image` of a Parquet file."""

    path: str = "path"
    image: str = "image"


def find_images(words: Sequence[str], columns: Columns) -> list[Picture]:
    """All images that the words name, in their order; a path that does not exist is one too, and fails when it is read.

    Raises:
        NoImages: a folder, a pattern or a list holds none.
        UnreadableFile: a list or a table cannot be read, or lacks its column.
    """
    return [picture for word in words for picture in _named(word, columns)]


def _named(word: str, columns: Columns) -> Sequence[Picture]:
    path = Path(word)
    if word == STDIN:
        found = _from_stdin(sys.stdin.buffer.read())
    elif path.is_dir():
        found = [_file(each) for each in sorted(_below(path))]
    elif any(mark in word for mark in _PATTERN) and not path.exists():
        found = [_file(Path(each)) for each in sorted(glob.glob(word, recursive=True)) if not Path(each).is_dir()]
    elif path.suffix.lower() == ".csv":
        found = _from_csv(path, columns.path)
    elif path.suffix.lower() == ".parquet":
        found = _from_parquet(path, columns.image)
    else:
        found = [_file(path)]
    if not found:
        raise NoImages(f"{word}: there are no images")
    return found


def _file(path: Path) -> Picture:
    return Picture(str(path), partial(read_file, path))


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _from_stdin(data: bytes) -> Sequence[Picture]:
    if data.startswith(_SIGNATURES):
        return [Picture(STDIN, lambda: data)]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UnreadableFile("standard input: neither an image (JPEG, PNG, WebP, AVIF, HEIC) nor paths") from None
    lines = text.split("\0") if "\0" in text else text.splitlines()
    return [_file(Path(line)) for line in lines if line.strip()]


def _from_csv(path: Path, column: str) -> Sequence[Picture]:
    """Paths are relative to the file's folder."""
    try:
        reader = csv.DictReader(io.StringIO(read_file(path).decode("utf-8-sig")))
        if column not in (reader.fieldnames or ()):
            raise UnreadableFile(f"{path}: no column {column!r} (--path-column); it has {_listed(reader.fieldnames)}")
        return [_file(path.parent / row[column]) for row in reader if row[column]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"{path}: not a CSV file: {error}") from error


def _from_parquet(path: Path, column: str) -> Sequence[Picture]:
    table = _Table(path, column)
    return [Picture(f"{path}:{row}", partial(table.read, row)) for row in range(table.rows)]


class _Table:
    """One column of a Parquet file, read a group of rows at a time: bytes, paths, or structs of both."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._lock, self._group, self._values = threading.Lock(), -1, list[Any]()
        self._file = self._opened()
        names = self._file.schema_arrow.names
        if column not in names:
            raise UnreadableFile(f"{path}: no column {column!r} (--image-column); it has {_listed(names)}")
        groups = (self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups))
        self._places = [(index, row) for index, count in enumerate(groups) for row in range(count)]

    def _opened(self) -> "pq.ParquetFile":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._path)
        except OSError as error:
            raise UnreadableFile(f"{self._path}: {error.strerror or error}") from error
        except pa.ArrowException as error:
            raise UnreadableFile(f"{self._path}: not a Parquet file: {error}") from error

    @property
    def rows(self) -> int:
        """Of the whole file."""
        return len(self._places)

    def read(self, row: int) -> bytes:
        """The bytes of a row's image; raises UnreadableFile."""
        group, place = self._places[row]
        with self._lock:
            if group != self._group:
                self._values, self._group = self._loaded(group), group
            value = self._values[place]
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str):
            return read_file(self._path.parent / value)
        if not isinstance(value, bytes):
            raise UnreadableFile(f"{self._path}: row {row} has no image")
        return value

    def _loaded(self, group: int) -> list[Any]:
        import pyarrow as pa

        try:
            values: list[Any] = self._file.read_row_group(group, [self._column])[self._column].to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(f"{self._path}: rows of group {group} cannot be read: {error}") from error
        return values


def _listed(names: Sequence[str] | None) -> str:
    return ", ".join(names or ()) or "none"
