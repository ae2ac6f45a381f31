"""Makers of task adapter files that attack the reader: foreign formats, false headers, impossible tensors.

All start from a task that ships, so that only the attacked part is wrong.
"""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from adapters_store.bundled import bundled_tasks

Header = dict[str, Any]
METADATA = "__metadata__"


@cache
def good() -> bytes:
    """A sound file."""
    return next(iter(bundled_tasks().values()))


def split() -> tuple[Header, bytes]:
    """Header and data of the sound file."""
    data = good()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def joined(header: Header | str | bytes, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file with this header, and a length field that may be wrong."""
    text = json.dumps(header) if isinstance(header, dict) else header
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def changed(change: Callable[[Header], object]) -> bytes:
    """The sound file after one change of its header."""
    header, data = split()
    change(header)
    return joined(header, data)


def manifest(change: Callable[[Header], object]) -> bytes:
    """The sound file after one change of its manifest."""

    def apply(header: Header) -> None:
        text = json.loads(header[METADATA]["manifest"])
        change(text)
        header[METADATA]["manifest"] = json.dumps(text)

    return changed(apply)


def first_tensor(header: Header) -> str:
    """The name of one tensor."""
    return next(name for name in header if name != METADATA)


def tensor(change: Callable[[Header], object]) -> bytes:
    """The sound file after one change of one tensor's entry."""
    return changed(lambda header: change(header[first_tensor(header)]))


def pickled() -> bytes:
    """A pickle that would run a command."""

    class Command:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this must never run",)

    return pickle.dumps(Command())


def zipped(name: str = "../../etc/evil") -> bytes:
    """A zip archive, as PyTorch's files are, with a name that climbs out of its folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, pickled())
    return file.getvalue()


def tarred() -> bytes:
    """A tar archive with a name that climbs out of its folder."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/evil"))
    return file.getvalue()


def gzipped(size: int = 50_000_000) -> bytes:
    """A gzip bomb."""
    return gzip.compress(bytes(size))


def numpy_objects() -> bytes:
    """A NumPy file that holds a pickle."""
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def empty_tensors(count: int = 300_000) -> bytes:
    """A legal safetensors header with very many empty tensors."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return joined({f"t{number}": entry for number in range(count)})


def large_metadata(size: int = 20_000_000) -> bytes:
    """A legal safetensors header with very large metadata."""
    return joined({METADATA: {"a": "x" * size}})


def deep_header(depth: int = 100_000) -> bytes:
    """A header of nested lists."""
    return joined('{"a":' + "[" * depth + "]" * depth + "}")


def twice(name: str) -> bytes:
    """The sound file with one key of its header, or of its metadata, given twice."""
    header, data = split()
    text = json.dumps(header)
    if name == METADATA:
        key = next(iter(header[METADATA]))
        text = text.replace(f'"{METADATA}": {{', f'"{METADATA}": {{{json.dumps(key)}: "evil", ', 1)
    else:
        found = first_tensor(header)
        text = text[:-1] + f", {json.dumps(found)}: {json.dumps(header[found])}}}"
    return joined(text, data)


def values(number: float) -> bytes:
    """The sound file with one weight replaced by `number`."""
    header, data = split()
    name = first_tensor(header)
    begin, _ = header[name]["data_offsets"]
    half = header[name]["dtype"] == "F16"
    value = np.array([number], np.float16 if half else np.float32).tobytes()
    return joined(header, data[:begin] + value + data[begin + len(value) :])


def renamed(name: str) -> bytes:
    """The sound file with one tensor under another name."""
    return changed(lambda header: header.update({name: header.pop(first_tensor(header))}))


def moved(by: int) -> bytes:
    """The sound file with one tensor's place moved: an overlap, or a hole."""

    def move(entry: Header) -> None:
        entry["data_offsets"] = [place + by for place in entry["data_offsets"]]

    header, data = split()
    last = max((name for name in header if name != METADATA), key=lambda name: header[name]["data_offsets"][1])
    move(header[last])
    return joined(header, data + bytes(max(0, by)))
