"""Where each tensor lies inside a safetensors file, checked without touching its bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters_store import errors
from adapters_store.strict_json import Json, shown

ITEM_BYTES = {"F32": 4, "F16": 2, "U8": 1}
HIGHEST_RANK = 3  # the golden image; every other tensor has its exact shape checked later
_ENTRY_KEYS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """One tensor as the header describes it; offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_span(name: str, entry: Json, file_bytes: int) -> TensorSpan:
    """Check one header entry by itself.

    Raises:
        InvalidEntry, UnsupportedDtype, InvalidShape, SizeMismatch: The entry is not acceptable.
    """
    if not isinstance(entry, dict) or entry.keys() != _ENTRY_KEYS:
        raise errors.InvalidEntry(f"{shown(name)}: exactly {', '.join(sorted(_ENTRY_KEYS))} are needed")
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise errors.UnsupportedDtype(f"{shown(name)}: dtype {shown(dtype)}, accepted are {', '.join(ITEM_BYTES)}")
    shape = _shape(name, entry["shape"], file_bytes)
    begin, end = _offsets(name, entry["data_offsets"])
    needed = _count(shape) * ITEM_BYTES[dtype]
    if end - begin != needed:
        raise errors.SizeMismatch(f"{shown(name)}: {end - begin} bytes for a shape and dtype of {needed}")
    return TensorSpan(dtype, shape, begin, end)


def check_layout(spans: Sequence[TensorSpan], available: int) -> None:
    """Check that the tensors tile the data exactly: no overlap, no hole, nothing after.

    Raises:
        OverlappingTensors, HoleInData, TruncatedFile, TrailingBytes: They do not.
    """
    cursor = 0
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        if span.begin < cursor:
            raise errors.OverlappingTensors(f"two tensors share byte {span.begin}")
        if span.begin > cursor:
            raise errors.HoleInData(f"no tensor claims bytes {cursor} to {span.begin}")
        cursor = span.end
    if cursor > available:
        raise errors.TruncatedFile(f"{available} bytes of data where the header promises {cursor}")
    if cursor < available:
        raise errors.TrailingBytes(f"{available - cursor} bytes after the last tensor")


def _shape(name: str, value: Json, file_bytes: int) -> tuple[int, ...]:
    """Return a shape of positive sizes whose product fits the file, so that no product can grow without bound."""
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
