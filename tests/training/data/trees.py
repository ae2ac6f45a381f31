"""Tiny data sets on disk: class folders and Parquet files in the Hugging Face layout."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Cell = Mapping[str, bytes | str | None]


def png(shade: int = 128, side: int = 8) -> bytes:
    """An encoded grey square."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path, counts: Mapping[str, int]) -> Path:
    """One folder a class, with so many images."""
    for label, count in counts.items():
        folder = root / label
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / f"{index}.png").write_bytes(png(index))
    return root


def cells(count: int) -> list[Cell]:
    """So many image cells."""
    return [{"bytes": png(index), "path": None} for index in range(count)]


def write_parquet(
    path: Path, labels: Sequence[int | str | None], *, names: Sequence[str] = (), images: Sequence[Cell] | None = None
) -> Path:
    """One row a label; with `names`, the schema carries them as the `datasets` library does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {"image": pa.array(cells(len(labels)) if images is None else images, kind), "label": pa.array(labels)}
    )
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps(_info(names))})
    pq.write_table(table, path)
    return path


def _info(names: Sequence[str]) -> object:
    return {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}}}
