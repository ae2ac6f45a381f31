"""Every way a safetensors container can be bad, each shown by hand-made bytes."""

from typing import Any

import numpy as np
import pytest

from adapters_store import errors, unpack
from adapters_store.container import read_container, write_container
from adapters_store.limits import DEFAULT_LIMITS, ArtifactLimits
from tests.adapters_store.raw import GOOD_FILE, Header, entry, raw_file

DUPLICATE_TENSOR = (
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
)
DUPLICATE_METADATA = '{"__metadata__":{"manifest":"good","manifest":"evil"}}'
DUPLICATE_BLOCK = '{"__metadata__":{},"__metadata__":{}}'

BROKEN: dict[str, tuple[type[errors.BrokenFile], bytes]] = {
    "length of 2^63": (errors.HeaderTooLarge, raw_file("{}", length=2**63)),
    "length of 101 MB": (errors.HeaderTooLarge, raw_file("{}", length=101_000_000)),
    "length beyond the file": (errors.TruncatedFile, raw_file("{}", length=100)),
    "header not UTF-8": (errors.InvalidJson, raw_file(b'{"\xff": 1}')),
    "header cut short": (errors.InvalidJson, raw_file('{"a":')),
    "two values": (errors.InvalidJson, raw_file("{}{}")),
    "integer of 5,000 digits": (errors.InvalidJson, raw_file('{"a":' + "9" * 5000 + "}")),
    "200,000 levels": (errors.JsonTooDeep, raw_file('{"a":' + "[" * 200_000)),
    "NaN": (errors.NonFiniteNumber, raw_file('{"a":NaN}')),
    "minus infinity": (errors.NonFiniteNumber, raw_file('{"a":-Infinity}')),
    "1e999": (errors.NonFiniteNumber, raw_file('{"a":1e999}')),
    "one tensor twice": (errors.DuplicateKey, raw_file(DUPLICATE_TENSOR, bytes(4))),
    "one metadata key twice": (errors.DuplicateKey, raw_file(DUPLICATE_METADATA)),
    "metadata twice": (errors.DuplicateKey, raw_file(DUPLICATE_BLOCK)),
    "metadata a list": (errors.InvalidEntry, raw_file({"__metadata__": []})),
    "metadata of numbers": (errors.InvalidEntry, raw_file({"__metadata__": {"manifest": 1}})),
    "entry a list": (errors.InvalidEntry, raw_file({"a": []})),
    "entry without dtype": (errors.InvalidEntry, raw_file({"a": {"shape": [], "data_offsets": [0, 0]}})),
    "entry with more": (errors.InvalidEntry, raw_file({"a": entry([1], 0, 4) | {"note": 1}}, bytes(4))),
    "one offset": (errors.InvalidEntry, raw_file({"a": entry([1], 0, 4) | {"data_offsets": [4]}}, bytes(4))),
    "offsets backwards": (errors.InvalidEntry, raw_file({"a": entry([1], 4, 0)}, bytes(4))),
    "negative offset": (errors.InvalidEntry, raw_file({"a": entry([1], -4, 0)}, bytes(4))),
    "offsets of truth": (errors.InvalidEntry, raw_file({"a": entry([1], False, True)}, bytes(4))),
    "offsets not a list": (errors.InvalidEntry, raw_file({"a": entry([1], 0, 4) | {"data_offsets": 4}}, bytes(4))),
    "dtype a list": (errors.UnsupportedDtype, raw_file({"a": entry([1], 0, 4) | {"dtype": ["F32"]}}, bytes(4))),
    "one byte too few": (errors.SizeMismatch, raw_file({"a": entry([2], 0, 7)}, bytes(7))),
    "one byte too many": (errors.SizeMismatch, raw_file({"a": entry([2], 0, 9)}, bytes(9))),
    "same bytes twice": (errors.OverlappingTensors, raw_file({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4))),
    "overlap": (errors.OverlappingTensors, raw_file({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, bytes(8))),
    "hole at the start": (errors.HoleInData, raw_file({"a": entry([1], 4, 8)}, bytes(8))),
    "hole between": (errors.HoleInData, raw_file({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12))),
    "data cut by one byte": (errors.TruncatedFile, raw_file({"a": entry([1], 0, 4)}, bytes(3))),
    "no data": (errors.TruncatedFile, raw_file({"a": entry([1], 0, 4)})),
    "a byte after": (errors.TrailingBytes, raw_file({"a": entry([1], 0, 4)}, bytes(5))),
    "a zip after": (errors.TrailingBytes, GOOD_FILE + b"PK\x03\x04"),
}


@pytest.mark.parametrize(("error", "data"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_container_is_refused_for_its_own_reason(error: type[errors.BrokenFile], data: bytes) -> None:
    with pytest.raises(error) as caught:
        unpack(data)
    assert caught.type is error


@pytest.mark.parametrize("dtype", ["F64", "F8_E4M3", "BF16", "I64", "I8", "BOOL", "U16", "F4", "f32", ""])
def test_only_three_dtypes_are_accepted(dtype: str) -> None:
    with pytest.raises(errors.UnsupportedDtype):
        unpack(raw_file({"a": entry([1], 0, 8, dtype)}, bytes(8)))


SHAPES: list[Any] = [[-1], [1.0], [True], ["1"], [0], [0, 2**40], [2**40], [2**32, 2**32], [1] * 4, [1] * 1000, 1, None]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_a_shape_is_a_short_list_of_positive_sizes_that_fit_the_file(shape: object) -> None:
    header: Header = {"a": entry([1], 0, 4) | {"shape": shape}}
    with pytest.raises(errors.InvalidShape):
        unpack(raw_file(header, bytes(4)))


def test_the_file_cap_is_inclusive() -> None:
    assert read_container(GOOD_FILE, ArtifactLimits(file_bytes=len(GOOD_FILE) + 1))
    assert read_container(GOOD_FILE, ArtifactLimits(file_bytes=len(GOOD_FILE)))
    with pytest.raises(errors.FileTooLarge):
        read_container(GOOD_FILE, ArtifactLimits(file_bytes=len(GOOD_FILE) - 1))


def test_files_of_32_mebibytes_are_read_and_no_larger_ones() -> None:
    cap = 32 * 1024 * 1024
    header = {"a": entry([cap], 0, cap, "U8")}
    overhead = len(raw_file(header))
    size = cap - overhead
    assert read_container(raw_file({"a": entry([size], 0, size, "U8")}, bytes(size)), DEFAULT_LIMITS)
    with pytest.raises(errors.FileTooLarge):
        unpack(bytes(cap + 1))


@pytest.mark.parametrize(("spare", "fits"), [(1, True), (0, True), (-1, False)])
def test_the_header_cap_is_256_kibibytes_inclusive(spare: int, fits: bool) -> None:
    header = b"{}".ljust(256 * 1024 - spare)
    if fits:
        assert read_container(raw_file(header), DEFAULT_LIMITS).tensors == {}
    else:
        with pytest.raises(errors.HeaderTooLarge):
            unpack(raw_file(header))


@pytest.mark.parametrize("count", [1023, 1024, 1025])
def test_at_most_1024_tensors_are_read(count: int) -> None:
    data = raw_file({f"t{i}": entry([1], i, i + 1, "U8") for i in range(count)}, bytes(count))
    if count <= 1024:
        assert len(read_container(data, DEFAULT_LIMITS).tensors) == count
    else:
        with pytest.raises(errors.TooManyTensors):
            unpack(data)


def test_a_tensor_at_an_odd_address_is_read_as_an_aligned_read_only_copy() -> None:
    data = raw_file({"a": entry([1], 0, 1, "U8"), "b": entry([2], 1, 9)}, b"\x07" + np.array([1, 2], "<f4").tobytes())
    found = read_container(data, DEFAULT_LIMITS).tensors["b"]
    np.testing.assert_array_equal(found, [1, 2])
    assert found.flags.aligned
    assert not found.flags.writeable


@pytest.mark.parametrize("dtype", ["f8", "i4", "?", "c8", "O"])
def test_an_array_of_another_dtype_is_not_written(dtype: str) -> None:
    with pytest.raises(errors.UnsupportedDtype):
        write_container({}, {"a": np.zeros(2, dtype)})


@pytest.mark.parametrize(("classes", "values"), [(3_400, 384), (20_000, 96)])
def test_the_header_may_grow_with_the_classes_of_the_head(classes: int, values: int) -> None:
    """3,400 class names of 80 characters are a header of 280 kB, beside a head of 2.6 MB."""
    metadata = {"manifest": "".join(f"{number:080d}" for number in range(classes))}
    data = write_container(metadata, {"head": np.zeros((classes, values), np.float16)})
    assert read_container(data, DEFAULT_LIMITS).metadata == metadata


def test_a_long_header_is_never_longer_than_the_tensors() -> None:
    data = write_container({"manifest": "x" * 300_000}, {"head": np.zeros(100_000, np.float16)})
    with pytest.raises(errors.HeaderTooLarge):
        read_container(data, DEFAULT_LIMITS)


def test_a_header_above_two_mebibytes_is_never_read() -> None:
    data = write_container({"manifest": "x" * (2 * 2**20)}, {"head": np.zeros(4 * 2**20, np.float16)})
    with pytest.raises(errors.HeaderTooLarge, match="at most 2097152 are read"):
        read_container(data, DEFAULT_LIMITS)
