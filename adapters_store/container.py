"""The safetensors container, read and written by our own strict rules. It knows names, shapes and bytes, no adapters.

Reading refuses whatever a second parser might read differently: duplicate keys, holes, overlaps, trailing bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.limits import ArtifactLimits
from adapters_store.signatures import refuse_other_formats
from adapters_store.spans import TensorSpan, check_layout, read_span
from adapters_store.strict_json import Json, parse_object, shown

LENGTH_BYTES = 8  # the header's length, little endian
METADATA = "__metadata__"
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """A sound safetensors file: text metadata and read-only views of its tensors."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, NDArray[Any]]


def read_container(data: bytes, limits: ArtifactLimits) -> Container:
    """Check the whole container, then view its tensors without copying.

    Raises:
        ArtifactError: One subclass for each way the container can be bad.
    """
    if len(data) > limits.file_bytes:
        raise errors.FileTooLarge(f"{len(data)} bytes, at most {limits.file_bytes} are read")
    refuse_other_formats(data, limits.header_bytes)
    start, text = _header_text(data, limits)
    header = parse_object(text, max_depth=limits.json_depth)
    metadata = _metadata(header.pop(METADATA, {}))
    if len(header) > limits.tensors:
        raise errors.TooManyTensors(f"{len(header)} tensors, at most {limits.tensors} are read")
    spans = {name: read_span(name, entry, len(data)) for name, entry in header.items()}
    check_layout(list(spans.values()), len(data) - start)
    return Container(metadata, {name: _view(data, start, span) for name, span in spans.items()})


def write_container(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Write the bytes that the safetensors library writes: widest dtype first, then by name, header padded to 8.

    Raises:
        UnsupportedDtype: An array is neither float32, float16 nor uint8.
    """
    arrays = {name: _little_endian(name, array) for name, array in tensors.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Json] = {METADATA: dict(metadata)}
    end = 0
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        header[name] = _entry(arrays[name], begin, end)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % LENGTH_BYTES)  # so that every tensor is aligned
    return b"".join([len(text).to_bytes(LENGTH_BYTES, "little"), text, *(arrays[name].tobytes() for name in order)])


def _header_text(data: bytes, limits: ArtifactLimits) -> tuple[int, str]:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if length > limits.header_bytes:
        raise errors.HeaderTooLarge(f"a header of {length} bytes, at most {limits.header_bytes} are read")
    start = LENGTH_BYTES + length
    if start > len(data):
        raise errors.TruncatedFile("the file ends inside its header")
    try:
        return start, data[LENGTH_BYTES:start].decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.InvalidJson("the header is not UTF-8") from error


def _metadata(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        raise errors.InvalidEntry(f"{METADATA} is not an object")
    metadata = {key: text for key, text in value.items() if isinstance(text, str)}
    if len(metadata) != len(value):
        raise errors.InvalidEntry(f"{METADATA} holds something other than text")
    return metadata


def _view(data: bytes, start: int, span: TensorSpan) -> NDArray[Any]:
    dtype = _DTYPES[span.dtype]
    count = (span.end - span.begin) // dtype.itemsize
    array = np.frombuffer(data, dtype, count, start + span.begin).reshape(span.shape)
    return array if array.flags.aligned else _aligned(array)


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Copy a tensor that a foreign writer left at an odd address: some kernels cannot read it there."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    little = array.dtype.newbyteorder("<")
    if little not in _NAMES:
        raise errors.UnsupportedDtype(f"{shown(name)}: dtype {array.dtype}, accepted are float32, float16 and uint8")
    return array.astype(little, copy=False)


def _entry(array: NDArray[Any], begin: int, end: int) -> Json:
    return {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
