"""Parquet files: one file, or a folder with the files of each split.

Files are named as the `datasets` library writes them: `train.parquet` or `train-00000-of-00003.parquet`. Knows
nothing of what stands in the columns.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.data.errors import MissingPath, UnreadableFile
from training.data.sets import HELD_BACK, Data
from training.data.table import Columns, TableSet, table_set


def load_parquet(path: Path, name: str, columns: Columns) -> Data:
    """A single file is a training split without a test split; a folder has both, or the first only.

    Raises:
        MissingPath: the folder has no Parquet file of a training split.
        UnreadableFile, WrongColumn, UnknownLabel: see training.data.errors.
    """
    if path.is_file():
        train = table_set(_read([path], columns), str(path), columns)
        return Data(name, train.labels, train, None)
    parts = [part for part in ("train", *HELD_BACK) if _files(path, part)]
    if "train" not in parts:
        raise MissingPath(f"{path}: no train.parquet in it, nor train-*.parquet")
    train = _split(path, "train", columns)
    test = _split(path, parts[1], columns, train.labels) if parts[1:] else None
    return Data(name, train.labels, train, test)


def has_parquet(folder: Path) -> bool:
    """Whether the folder holds Parquet files rather than class folders."""
    return any(folder.glob("*.parquet"))


def _files(folder: Path, part: str) -> list[Path]:
    return [*folder.glob(f"{part}.parquet"), *sorted(folder.glob(f"{part}-*.parquet"))]


def _split(folder: Path, part: str, columns: Columns, labels: tuple[str, ...] | None = None) -> TableSet:
    files = _files(folder, part)
    name = str(files[0] if len(files) == 1 else folder / f"{part}-*.parquet")
    return table_set(_read(files, columns), name, columns, labels=labels)


def _read(files: list[Path], columns: Columns) -> pa.Table:
    tables = [_read_one(file, columns) for file in files]
    try:
        return pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise UnreadableFile(f"{files[0].parent}: the files of one split differ in their columns ({error})") from error


def _read_one(file: Path, columns: Columns) -> pa.Table:
    """Only the columns that matter; one that is absent is reported later, with the names of those there."""
    try:
        with pq.ParquetFile(file) as parquet:
            present = parquet.schema_arrow.names
            wanted = [column for column in (columns.image, columns.label) if column in present]
            return parquet.read(wanted if len(wanted) == 2 else present)  # noqa: PLR2004 - both
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{file}: not a readable Parquet file ({error})") from error
