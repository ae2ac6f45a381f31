"""Hand-made file bytes: a header that says anything, over data that is anything. Nothing here checks what it builds."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapters_store import Manifest, pack
from adapters_store.manifest import hash_preprocessing
from tests.adapters_store.adapters import make_adapter

Header = dict[str, Any]

GOOD_FILE = pack(make_adapter())


def raw_file(header: Header | str | bytes, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a file with this header, and a length field that may lie about it."""
    text = json.dumps(header) if isinstance(header, dict) else header
    encoded = text.encode() if isinstance(text, str) else text
    return (len(encoded) if length is None else length).to_bytes(8, "little") + encoded + data


def split_file(data: bytes) -> tuple[Header, bytes]:
    """Return the header and the data of a file."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def with_header(change: Callable[[Header], object], data: bytes = GOOD_FILE) -> bytes:
    """Return a good file after one change to its header, in place."""
    header, body = split_file(data)
    change(header)
    return raw_file(header, body)


def with_manifest(change: Callable[[Header], object], data: bytes = GOOD_FILE) -> bytes:
    """Return a good file after one change to its manifest, in place."""

    def change_manifest(header: Header) -> None:
        manifest = json.loads(header["__metadata__"]["manifest"])
        change(manifest)
        header["__metadata__"]["manifest"] = json.dumps(manifest)

    return with_header(change_manifest, data)


def with_manifest_text(text: str) -> bytes:
    """Return a good file whose manifest is this text."""
    return with_header(lambda header: header["__metadata__"].update(manifest=text))


def with_preprocessing(manifest: Manifest, **preprocessing: Any) -> Manifest:  # noqa: ANN401
    """Return a manifest with another preprocessing and the hash that belongs to it."""
    return replace(manifest, preprocessing=preprocessing, preprocessing_sha256=hash_preprocessing(preprocessing))


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> Header:
    """Return what the header says of one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
