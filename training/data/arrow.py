"""Arrow tables in the Hugging Face layout, whether from Parquet files or from the hub.

An image is a struct of `bytes` and `path`, or plain bytes; a label is an integer or a string, or a list of these where
an image has any number of labels. Class names come from the schema metadata under the key `huggingface`, else from the
labels themselves. Images stay encoded in memory and
are decoded when asked for.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from training.data.errors import (
    HubUnavailable,
    MissingPath,
    UnknownLabel,
    UnknownSource,
    UnreadableFile,
    UnreadableImage,
    WrongColumn,
)
from training.data.labels import LabelLists
from training.data.sets import Data, check_range, decode_from, split_of, splits_among

_SHARD = re.compile(r"(.*-)(\d+)-of-(\d+)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that matter; `group` is no column where images are grouped otherwise, or not at all."""

    image: str = "image"
    label: str = "label"
    group: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TableSet:
    """The images of one table, encoded."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,), or (n, K)
    column: pa.ChunkedArray  # struct<bytes, path> or binary
    group: pa.ChunkedArray | None = None  # what images belong together by

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, i: int) -> Image.Image:
        """Image `i`, decoded now."""
        return decode_from(self._bytes(i), self.where(i))

    def where(self, i: int) -> str:
        """Its file and row, counted from 0."""
        return f"{self.name}: row {i}"

    def _bytes(self, i: int) -> bytes:
        cell = self.column[i].as_py()
        if isinstance(cell, dict):
            data, path = cell.get("bytes"), cell.get("path")
            # The hub leaves images that it downloaded one by one as files beside the table.
            cell = Path(path).read_bytes() if data is None and path and Path(path).is_file() else data
        if not isinstance(cell, bytes):
            raise UnreadableImage(f"{self.where(i)}: there are no image bytes in it")
        return cell


def table_set(table: pa.Table, name: str, columns: Columns, *, labels: Sequence[str] | None = None) -> TableSet:
    """One split of a table; `labels` are the class names of the training split, where this is another.

    Raises:
        WrongColumn: a column is absent or of a type that holds no images or labels.
        UnknownLabel: a label is null, out of range, or not among `labels`.
    """
    images = _column(table, columns.image, name)
    if not _holds_images(images.type):
        raise WrongColumn(f"{name}: column {columns.image!r} holds {images.type}, not encoded images")
    column = _column(table, columns.label, name)
    if column.null_count:
        raise UnknownLabel(f"{name}: row {_first(pc.is_null(column))} has no label")
    group = table.column(columns.group) if columns.group in table.column_names else None
    names, where = _class_names(table.schema, columns.label), f"{name}: column {columns.label!r}"
    if _is_list(column.type):
        given, known = _lists(column, names, where), labels
        own = tuple(known) if known is not None else given.labels
        return TableSet(name, own, given.targets(own, name), images, group)
    own, targets = _targets(column, names, where)
    known = tuple(labels) if labels is not None else own
    check_range(targets, len(own), name, "row")
    return TableSet(name, known, _translate(targets, own, known, name), images, group)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(column: pa.ChunkedArray, names: tuple[str, ...] | None, where: str) -> LabelLists:
    """The label names of each row.

    Raises:
        WrongColumn: the lists hold something else than integers or strings.
        UnknownLabel: a label in a list is null, or no number of a class.
    """
    inner = column.type.value_type
    if not (pa.types.is_integer(inner) or pa.types.is_string(inner) or pa.types.is_large_string(inner)):
        raise WrongColumn(f"{where} holds lists of {inner}, neither of integers nor of strings")
    rows = column.to_pylist()
    if names is not None:
        wrong = next((i for i, row in enumerate(rows) if not all(_counts(each, len(names)) for each in row)), None)
        if wrong is not None:
            raise UnknownLabel(f"{where}: row {wrong} has labels {rows[wrong]}, but there are {len(names)} class names")
        return LabelLists([[names[each] for each in row] for row in rows], names)
    if any(each is None for row in rows for each in row):
        raise UnknownLabel(f"{where}: a list holds a label that is null")
    return LabelLists([[str(each) for each in row] for row in rows], None)


def _counts(label: object, classes: int) -> bool:
    return isinstance(label, int) and 0 <= label < classes


def _column(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    if table.column_names.count(column) != 1:
        raise WrongColumn(f"{name}: no column {column!r}; there are {', '.join(table.column_names) or 'none'}")
    return table.column(column)


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Names that the `datasets` library left in the schema, if it did."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        while isinstance(feature, list) or "feature" in feature:  # a list of labels, as several releases write it
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        return tuple(str(each) for each in feature["names"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _targets(
    column: pa.ChunkedArray, names: tuple[str, ...] | None, where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and the class of each row."""
    if pa.types.is_integer(column.type):
        targets = column.to_numpy().astype(np.int64)
        count = int(targets.max(initial=-1)) + 1
        return names or tuple(str(label) for label in range(count)), targets
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        found = tuple(sorted(column.unique().to_pylist()))
        place = {label: index for index, label in enumerate(found)}
        return found, np.array([place[label] for label in column.to_pylist()], np.int64)
    raise WrongColumn(f"{where} holds {column.type}, neither integers nor strings")


def _translate(
    targets: NDArray[np.int64], own: tuple[str, ...], known: tuple[str, ...], name: str
) -> NDArray[np.int64]:
    """The same classes, numbered as the training split numbers them."""
    if own == known:
        return targets
    place = np.array([known.index(label) if label in known else -1 for label in own], np.int64)
    translated: NDArray[np.int64] = place[targets]
    if (translated < 0).any():
        row = int(np.flatnonzero(translated < 0)[0])
        raise UnknownLabel(f"{name}: row {row} is of class {own[targets[row]]!r}, which the training split lacks")
    return translated


def _first(mask: pa.ChunkedArray) -> int:
    return int(pc.index(mask, True).as_py())


def load_parquet(path: Path, name: str, columns: Columns) -> Data:
    """A single file is a training split without a test split; a folder may have test and validation splits.

    Raises:
        MissingPath: the folder has no Parquet file of a training split, or a file of several is not there.
        UnknownSource: a file belongs to no split, or two names are the same split.
        UnreadableFile, WrongColumn, UnknownLabel: see training.data.errors.
    """
    if path.is_file():
        train = table_set(_read_files([path], columns), str(path), columns)
        return Data(name, train.labels, train, None)
    shards = _shards(path)
    if "train" not in shards:
        raise MissingPath(f"{path}: no train.parquet in it, nor train-*.parquet")
    train = _parquet_split(shards["train"], columns)
    held_back = {
        split: _parquet_split(shards[split], columns, train.labels)
        for split in ("validation", "test")
        if split in shards
    }
    return Data(name, train.labels, train, held_back.get("test"), validation=held_back.get("validation"))


def has_parquet(folder: Path) -> bool:
    """Whether the folder holds Parquet files rather than class folders."""
    return any(folder.glob("*.parquet"))


def _shards(folder: Path) -> dict[str, list[Path]]:
    """The files of each split, complete."""
    files = sorted(folder.glob("*.parquet"))
    names = {file: file.stem.partition("-")[0] for file in files}
    found = splits_among(set(names.values()), str(folder))
    stray = next((file for file, name in names.items() if split_of(name) is None), None)
    if found and stray is not None:
        raise UnknownSource(f"{stray}: its name begins with none of {', '.join(found.values())}, so it is in no split")
    shards = {split: [file for file in files if names[file] == name] for split, name in found.items()}
    for split in shards.values():
        _check_complete(split)
    return shards


def _check_complete(files: list[Path]) -> None:
    """Refuse shards of which one is not there: NAME-00000-of-00003 has two brothers."""
    for file in files:
        if numbered := _SHARD.fullmatch(file.stem):
            start, count = numbered[1], numbered[3]
            wanted = [file.with_stem(f"{start}{i:0{len(count)}d}-of-{count}") for i in range(int(count))]
            missing = [each.name for each in wanted if each not in files]
            if missing:
                raise MissingPath(f"{file.parent}: {', '.join(missing)} missing")


def _parquet_split(files: list[Path], columns: Columns, labels: tuple[str, ...] | None = None) -> TableSet:
    name = str(files[0] if len(files) == 1 else files[0].with_name(f"{files[0].stem.partition('-')[0]}-*.parquet"))
    return table_set(_read_files(files, columns), name, columns, labels=labels)


def _read_files(files: list[Path], columns: Columns) -> pa.Table:
    tables = [_read_one(file, columns) for file in files]
    tables = [
        tables[0],
        *(
            _numbered_alike(table, tables[0], columns, str(file))
            for file, table in zip(files[1:], tables[1:], strict=True)
        ),
    ]
    try:
        return pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise UnreadableFile(f"{files[0].parent}: the files of one split differ in their columns ({error})") from error


def _numbered_alike(table: pa.Table, first: pa.Table, columns: Columns, name: str) -> pa.Table:
    """The table with its classes numbered as those of `first`: each file lists its class names in its own order.

    Raises:
        UnknownLabel: it has a class that `first` does not list.
    """
    own, known = (_class_names(each.schema, columns.label) for each in (table, first))
    if own == known or own is None or known is None or columns.label not in table.column_names:
        return table
    column = table.column(columns.label)
    if column.null_count:
        raise UnknownLabel(f"{name}: row {_first(pc.is_null(column))} has no label")
    if _is_list(column.type):
        raise UnknownLabel(f"{name}: it lists its class names in another order than the first file of its split")
    targets = column.to_numpy().astype(np.int64)
    check_range(targets, len(own), name, "row")
    numbered = pa.array(_translate(targets, own, known, name), column.type)
    place = table.column_names.index(columns.label)
    return table.set_column(place, columns.label, numbered).replace_schema_metadata(first.schema.metadata)


def _read_one(file: Path, columns: Columns) -> pa.Table:
    """Only the columns that matter; one that is absent is reported later, with the names of those there."""
    try:
        with pq.ParquetFile(file) as parquet:
            present = parquet.schema_arrow.names
            wanted = [column for column in (columns.image, columns.label, columns.group) if column in present]
            return parquet.read(wanted if {columns.image, columns.label} <= set(wanted) else present)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{file}: not a readable Parquet file ({error})") from error


def load_hub(hub_name: str, name: str, columns: Columns) -> Data:
    """Load `hub_name` with its own train, validation and test splits.

    Raises:
        HubUnavailable: no package, no network, or no such data set.
        UnknownSource: the data set has no training split, or two names are the same split.
        WrongColumn, UnknownLabel: see training.data.errors.
    """
    splits = _download(hub_name)
    parts = splits_among(splits, name)
    if "train" not in parts:
        raise UnknownSource(f"{name}: it has no split called train, only {', '.join(sorted(splits))}")
    train = _hub_split(splits, parts["train"], name, columns)
    held_back = {
        split: _hub_split(splits, parts[split], name, columns, train.labels)
        for split in ("validation", "test")
        if split in parts
    }
    return Data(name, train.labels, train, held_back.get("test"), validation=held_back.get("validation"))


def _download(hub_name: str) -> Any:  # noqa: ANN401 - datasets ships no types
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise HubUnavailable(
            f"hf:{hub_name}: the package `datasets` is not installed (pip install 'mimi-serving[hub]')"
        ) from error
    try:
        return datasets.load_dataset(hub_name)
    # Behind this call are a hub client, file systems and builders, each with errors of its own.
    except Exception as error:
        raise HubUnavailable(
            f"hf:{hub_name}: could not be loaded from the hub; without a network, "
            f"give a folder or a Parquet file instead ({type(error).__name__}: {error})"
        ) from error


def _hub_split(
    splits: Any,  # noqa: ANN401 - a datasets.DatasetDict
    part: str,
    name: str,
    columns: Columns,
    labels: tuple[str, ...] | None = None,
) -> TableSet:
    return table_set(splits[part].data.table, f"{name} ({part})", columns, labels=labels)
