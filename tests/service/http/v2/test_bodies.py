"""JSON first, bytes after it, and a header that says where one ends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInference, MalformedJson, RequestError
from service.http.v2.bodies import split_body


def test_without_the_header_everything_is_json() -> None:
    found = split_body(b'{"a": 1}', None)
    assert (found.document, bytes(found.binary)) == ({"a": 1}, b"")


def test_the_header_says_where_the_bytes_begin() -> None:
    found = split_body(b'{"a": 1}\x00\xff', "8")
    assert (found.document, bytes(found.binary)) == ({"a": 1}, b"\x00\xff")


def test_zero_means_that_there_is_no_json() -> None:
    found = split_body(b"\x89PNG", "0")
    assert (found.document, bytes(found.binary)) == (None, b"\x89PNG")


@pytest.mark.parametrize("header", ["", "9", "-1", "+8", "8.0", " 8", "0x8", "٨", "8" * 5000, "1e0"])
def test_a_header_that_is_no_length_within_the_body_is_refused(header: str) -> None:
    with pytest.raises(InvalidInference):
        split_body(b'{"a": 1}', header)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": 1, "a": 1}',
        b'{"a": ' + b"[" * 21 + b"]" * 21 + b"}",
        b'{"a": [' + b"1," * (2**18 + 1) + b"1]}",
        b'{"a": [' + b" " * (6 * 2**20) + b"1]}",
    ],
)
def test_json_that_is_none_or_too_much_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        split_body(body, None)


def test_a_large_tensor_in_json_is_read() -> None:
    body = json.dumps({"a": [0.12345678806304932] * (3 * 224 * 224)}).encode()
    found = split_body(body, None).document
    assert found is not None
    assert len(found["a"]) == 3 * 224 * 224  # type: ignore[arg-type]


@given(st.binary(max_size=60), st.none() | st.text(max_size=4) | st.integers(-1, 70).map(str))
def test_any_body_with_any_header_is_taken_apart_or_refused(body: bytes, header: str | None) -> None:
    try:
        found = split_body(body, header)
    except RequestError:
        return
    assert bytes(found.binary) == (body if found.document is None else body[int(header or len(body)) :])
