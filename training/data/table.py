"""Arrow tables in the Hugging Face layout, whether from Parquet files or from the hub.

An image is a struct of `bytes` and `path`, or plain bytes; a label is an integer or a string. Class names come from
the schema metadata under the key `huggingface`, else from the labels themselves. Images stay encoded in memory and
are decoded when asked for.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from training.data.errors import UnknownLabel, UnreadableImage, WrongColumn
from training.data.sets import check_range, decode_from


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the two columns that matter."""

    image: str = "image"
    label: str = "label"


@dataclass(frozen=True, slots=True, eq=False)
class TableSet:
    """The images of one table, encoded."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,)
    column: pa.ChunkedArray  # struct<bytes, path> or binary

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
    own, targets = _targets(column, _class_names(table.schema, columns.label), f"{name}: column {columns.label!r}")
    known = tuple(labels) if labels is not None else own
    check_range(targets, len(own), name, "row")
    return TableSet(name, known, _translate(targets, own, known, name), images)


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
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(each) for each in features[column]["names"])
    except (KeyError, TypeError, ValueError):
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
