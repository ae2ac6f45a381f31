"""The safetensors container, read and written by our own strict rules. It knows names, shapes and bytes, no adapters.

Reading refuses every input that two parsers could read differently: duplicate keys, holes, overlaps, trailing bytes.
Files of other formats are recognised and refused before anything is parsed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.limits import ArtifactLimits
from adapters_store.strict_json import Json, parse_object, shown

LENGTH_BYTES = 8  # the header's length, little endian
METADATA = "__metadata__"
_DTYPES: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
HIGHEST_RANK = 3  # the golden image; every other tensor has its exact shape checked later
_ENTRY_KEYS = {"dtype", "shape", "data_offsets"}
SHORTEST_FILE = 9  # the length field and the header's opening brace

_AT_START = {
    b"PK\x03\x04": "zip archive (or a PyTorch checkpoint)",
    b"PK\x05\x06": "empty zip archive",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-zip",
    b"\x93NUMPY": "NumPy array",
    b"\x89HDF": "HDF5",
    b"\x89PNG": "PNG image",
    b"\xff\xd8\xff": "JPEG image",
    b"GGUF": "GGUF",
    b"\x7fELF": "program",
    b"%PDF": "PDF",
    b"<": "HTML or XML",
    b"{": "JSON",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
}
_TAR_AT, _TAR = 257, b"ustar"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it; offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


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
    _refuse_other_formats(data, limits.header_cap(len(data)))
    start, text = _header_text(data, limits)
    header = parse_object(text, max_depth=limits.json_depth)
    metadata = _metadata(header.pop(METADATA, {}))
    if len(header) > limits.tensors:
        raise errors.TooManyTensors(f"{len(header)} tensors, at most {limits.tensors} are read")
    infos = {name: _read_info(name, entry, len(data)) for name, entry in header.items()}
    _check_layout(list(infos.values()), len(data) - start)
    return Container(metadata, {name: _view(data, start, info) for name, info in infos.items()})


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
    if length > (cap := limits.header_cap(len(data))):
        raise errors.HeaderTooLarge(f"a header of {length} bytes, at most {cap} are read")
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


def _view(data: bytes, start: int, info: TensorInfo) -> NDArray[Any]:
    dtype = _DTYPES[info.dtype]
    count = (info.end - info.begin) // dtype.itemsize
    array = np.frombuffer(data, dtype, count, start + info.begin).reshape(info.shape)
    return array if array.flags.aligned else _aligned(array)


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Copy a tensor that another writer left at an unaligned address: some kernels cannot read it there."""
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


def _read_info(name: str, entry: Json, file_bytes: int) -> TensorInfo:
    """Check one header entry by itself.

    Raises:
        InvalidEntry, UnsupportedDtype, InvalidShape, SizeMismatch: The entry is not acceptable.
    """
    if not isinstance(entry, dict) or entry.keys() != _ENTRY_KEYS:
        raise errors.InvalidEntry(f"{shown(name)}: exactly {', '.join(sorted(_ENTRY_KEYS))} are needed")
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise errors.UnsupportedDtype(f"{shown(name)}: dtype {shown(dtype)}, accepted are {', '.join(_DTYPES)}")
    shape = _shape(name, entry["shape"], file_bytes)
    begin, end = _offsets(name, entry["data_offsets"])
    needed = _count(shape) * _DTYPES[dtype].itemsize
    if end - begin != needed:
        raise errors.SizeMismatch(f"{shown(name)}: {end - begin} bytes for a shape and dtype of {needed}")
    return TensorInfo(dtype, shape, begin, end)


def _check_layout(infos: Sequence[TensorInfo], available: int) -> None:
    """Check that the tensors fill the data exactly: no overlap, no hole, nothing after.

    Raises:
        OverlappingTensors, HoleInData, TruncatedFile, TrailingBytes: They do not.
    """
    cursor = 0
    for info in sorted(infos, key=lambda info: (info.begin, info.end)):
        if info.begin < cursor:
            raise errors.OverlappingTensors(f"two tensors share byte {info.begin}")
        if info.begin > cursor:
            raise errors.HoleInData(f"no tensor claims bytes {cursor} to {info.begin}")
        cursor = info.end
    if cursor > available:
        raise errors.TruncatedFile(f"{available} bytes of data where the header promises {cursor}")
    if cursor < available:
        raise errors.TrailingBytes(f"{available - cursor} bytes after the last tensor")


def _shape(name: str, value: Json, file_bytes: int) -> tuple[int, ...]:
    """Return a shape of positive sizes whose product fits the file, so that no product grows without bound."""
    shape = _naturals(value)
    if shape is None or len(shape) > HIGHEST_RANK or 0 in shape or _count(shape) > file_bytes:
        raise errors.InvalidShape(f"{shown(name)}: shape {shown(value)} is not acceptable")
    return shape


def _offsets(name: str, value: Json) -> tuple[int, int]:
    offsets = _naturals(value)
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:  # noqa: PLR2004
        raise errors.InvalidEntry(f"{shown(name)}: data_offsets {shown(value)} are not a begin and an end")
    return offsets[0], offsets[1]


def _naturals(value: Json) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    numbers = tuple(item for item in value if type(item) is int and item >= 0)
    return numbers if len(numbers) == len(value) else None


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _refuse_other_formats(data: bytes, longest_header: int) -> None:
    """Refuse bytes that do not start like safetensors: with a length, then an opening brace.

    A signature alone proves nothing, because a length field may begin with any byte. It counts only where the length
    is impossible or the brace is missing.

    Raises:
        NotSafetensors: The bytes are another format's, or no format's.
        TruncatedFile: The file is too short to recognise its format.
    """
    has_brace = data[8:SHORTEST_FILE] == b"{"
    if has_brace and int.from_bytes(data[:8], "little") <= longest_header:
        return
    for signature, name in _AT_START.items():
        if data.startswith(signature):
            raise errors.NotSafetensors(f"this is a {name} file; only safetensors is accepted")
    if data[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise errors.NotSafetensors("this is a tar archive; only safetensors is accepted")
    if len(data) < SHORTEST_FILE:
        raise errors.TruncatedFile(f"{len(data)} bytes are no safetensors file")
    if not has_brace:
        raise errors.NotSafetensors("no safetensors header at byte 8; only safetensors is accepted")
