"""Reads the data of an input tensor from JSON (flat, or nested like its shape) or from bytes (little-endian).

Knows numbers and byte strings; knows nothing of images.

Source: inference_rest.md, "Tensor Data"; Triton, extension_binary_data.md.
"""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from service.errors import InvalidInference
from service.inputs.base64_text import from_base64

_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP32": np.dtype("<f4")}
_LENGTH = 4  # bytes before each element of a BYTES tensor
_BYTE = 255


def numbers_of_json(data: Sequence[Any], shape: Sequence[int], datatype: str) -> np.ndarray:
    """An array of `shape` and `datatype` (UINT8 or FP32).

    Raises:
        InvalidInference: other elements, or another number of them.
    """
    flat = flatten(data, shape)
    kinds = set(map(type, flat))
    if datatype == "UINT8":
        if kinds - {int} or (flat and not 0 <= min(flat) <= max(flat) <= _BYTE):
            raise InvalidInference("UINT8 data must be whole numbers from 0 to 255")
        return np.array(flat, np.uint8).reshape(shape)
    if kinds - {int, float}:
        raise InvalidInference("FP32 data must be numbers")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        return np.array(flat, np.float64).astype(np.float32).reshape(shape)


def strings_of_json(data: Sequence[Any], shape: Sequence[int]) -> list[bytes]:
    """The elements of a BYTES tensor.

    The protocol says nothing about binary data in JSON strings. Clients send base64 or data URIs, so both are accepted.

    Raises:
        InvalidInference: elements that are not base64, or another number of them.
    """
    elements = []
    for index, text in enumerate(flatten(data, shape)):
        decoded = from_base64(text) if isinstance(text, str) else None
        if decoded is None:
            raise InvalidInference(f"element {index + 1} of a BYTES tensor in JSON must be base64; or send binary data")
        elements.append(decoded)
    return elements


def flatten(data: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """The elements of JSON data, row-major: given flat, or nested exactly as `shape` says.

    Raises:
        InvalidInference: nested otherwise, or another number of elements.
    """
    flat, nesting = list(data), [len(data)]
    while flat and isinstance(flat[0], list):
        lengths = {len(each) if isinstance(each, list) else -1 for each in flat}
        if len(lengths) > 1:
            raise InvalidInference("the data is nested unevenly")
        nesting.append(len(flat[0]))
        flat = list(chain.from_iterable(flat))
    if len(flat) != prod(shape) or (len(nesting) > 1 and nesting != list(shape)):
        raise InvalidInference(f"the shape {_shown(shape)} and the data do not agree")
    return flat


def numbers_of_bytes(data: memoryview, shape: Sequence[int], datatype: str) -> np.ndarray:
    """An array of `shape` and `datatype` (UINT8 or FP32), without a copy.

    Raises:
        InvalidInference: another number of bytes.
    """
    dtype = _DTYPES[datatype]
    if len(data) != prod(shape) * dtype.itemsize:
        raise InvalidInference(f"{datatype} data of shape {_shown(shape)} has another number of bytes")
    array = np.frombuffer(data, dtype).reshape(shape)
    native: np.ndarray = array.astype(dtype.newbyteorder("="), copy=False)
    return native


def strings_of_bytes(data: memoryview, shape: Sequence[int]) -> list[bytes]:
    """The elements of a BYTES tensor: each is its length (4 bytes, little-endian) and its bytes.

    Raises:
        InvalidInference: an element that ends beyond the data, or another number of elements.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(data) and len(elements) <= prod(shape):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "little")
        if at + _LENGTH > len(data) or end > len(data):
            raise InvalidInference("an element of a BYTES tensor ends beyond its data")
        elements.append(bytes(data[at + _LENGTH : end]))
        at = end
    if len(elements) != prod(shape):
        raise InvalidInference(f"BYTES data of shape {_shown(shape)} has another number of elements")
    return elements


def bytes_of_strings(elements: Sequence[bytes]) -> bytes:
    """A BYTES tensor: the opposite of `strings_of_bytes`."""
    return b"".join(len(each).to_bytes(_LENGTH, "little") + each for each in elements)


def _shown(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
