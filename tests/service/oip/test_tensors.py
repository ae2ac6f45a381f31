"""Tensor data, out of JSON and out of bytes: exactly what the shape says, or refused."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.errors import InvalidInference
from service.oip import tensors

SHAPES = array_shapes(max_dims=4, max_side=4)
FLOATS = arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
BYTES = arrays(np.uint8, SHAPES)


@given(FLOATS | BYTES, st.booleans())
def test_numbers_come_back_from_json_flat_or_nested(array: np.ndarray, flat: bool) -> None:
    kind = "UINT8" if array.dtype == np.uint8 else "FP32"
    data = json.loads(json.dumps((array.reshape(-1) if flat else array).tolist()))
    found = tensors.numbers_of_json(data, array.shape, kind)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@given(FLOATS | BYTES)
def test_numbers_come_back_from_bytes(array: np.ndarray) -> None:
    kind = "UINT8" if array.dtype == np.uint8 else "FP32"
    found = tensors.numbers_of_bytes(memoryview(array.tobytes()), array.shape, kind)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    for wrong in (array.tobytes() + b"\0", array.tobytes()[:-1]):
        with pytest.raises(InvalidInference):
            tensors.numbers_of_bytes(memoryview(wrong), array.shape, kind)


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5))
def test_byte_strings_come_back_from_bytes_and_from_base64(elements: list[bytes]) -> None:
    data = tensors.bytes_of_strings(elements)
    assert tensors.strings_of_bytes(memoryview(data), [len(elements)]) == elements
    texts = [base64.b64encode(each).decode() for each in elements]
    assert tensors.strings_of_json(texts, [len(elements)]) == elements
    assert tensors.strings_of_json([[text] for text in texts], [len(elements), 1]) == elements


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_are_so_many_strings_or_refused(data: bytes, count: int) -> None:
    try:
        found = tensors.strings_of_bytes(memoryview(data), [count])
    except InvalidInference:
        return
    assert tensors.bytes_of_strings(found) == data


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=12)


@given(st.lists(JSON), st.lists(st.integers(0, 4), min_size=1, max_size=4), st.sampled_from(["UINT8", "FP32", "BYTES"]))
def test_any_json_is_a_tensor_of_this_shape_or_refused(data: list[Any], shape: list[int], kind: str) -> None:
    try:
        if kind == "BYTES":
            assert len(tensors.strings_of_json(data, shape)) == np.prod(shape)
        else:
            assert tensors.numbers_of_json(data, shape, kind).shape == tuple(shape)
    except InvalidInference:
        pass


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([1, 2, 3], [2]),
        ([[1, 2], [3]], [3]),
        ([[1, 2], [3, 4]], [4]),
        ([[1], [2]], [1, 2]),
        ([1, [2]], [2]),
        ([[1], 2], [2]),
        ([[]], [1]),
    ],
)
@pytest.mark.parametrize("kind", ["UINT8", "FP32"])
def test_data_that_its_shape_contradicts_is_refused(data: list[Any], shape: list[int], kind: str) -> None:
    with pytest.raises(InvalidInference):
        tensors.numbers_of_json(data, shape, kind)


@pytest.mark.parametrize("bad", [-1, 256, 1.0, True, "1", None, [1], {}, 10**30])
def test_uint8_in_json_is_whole_and_small(bad: object) -> None:
    with pytest.raises(InvalidInference):
        tensors.numbers_of_json([0, bad], [2], "UINT8")


@pytest.mark.parametrize("bad", [True, "1.5", None, {}])
def test_fp32_in_json_is_a_number_and_nothing_that_looks_like_one(bad: object) -> None:
    with pytest.raises(InvalidInference):
        tensors.numbers_of_json([0, bad], [2], "FP32")


def test_a_number_too_large_for_fp32_becomes_infinite_without_a_warning() -> None:
    assert np.isinf(tensors.numbers_of_json([1e300], [1], "FP32")).all()
