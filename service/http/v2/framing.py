"""The binary tensor data extension: a JSON object, then the raw bytes of tensors in the order the JSON names them.

Source: Triton, docs/protocol/extension_binary_data.md.
"""

from typing import NamedTuple

from adapters_store import ArtifactError
from adapters_store.strict_json import Json, parse_object
from service.errors import InvalidInference, MalformedJson
from service.http.payload import bounded_text

HEADER = "Inference-Header-Content-Length"

_DEPTH = 20
_OUTSIDE_STRINGS = 6 * 2**20  # characters: a number takes up to 24
_ITEMS = 2**18  # numbers in JSON: one image of 224 x 224 pixels, sixteen of 64 x 64
_DIGITS = 10


class Framed(NamedTuple):
    """A body taken apart: its JSON object (None: the whole body is the single input), and the bytes behind it."""

    document: dict[str, Json] | None
    binary: memoryview


def take_apart(body: bytes, header: str | None) -> Framed:
    """Split a body by the value of its `Inference-Header-Content-Length`; None: everything is JSON.

    Raises:
        InvalidInference: the header is no length of a part of the body.
        MalformedJson: not JSON that all parsers read alike, or too much of it.
    """
    length = len(body) if header is None else _length(header, len(body))
    if header is not None and length == 0:
        return Framed(None, memoryview(body))
    return Framed(parse(body[:length]), memoryview(body)[length:])


def parse(body: bytes) -> dict[str, Json]:
    """A JSON object that may hold large tensors.

    Raises:
        MalformedJson: as `take_apart`.
    """
    text = bounded_text(body, outside_strings=_OUTSIDE_STRINGS, items=_ITEMS)
    try:
        return parse_object(text, max_depth=_DEPTH)
    except ArtifactError as error:
        raise MalformedJson(error.title) from None


def _length(header: str, most: int) -> int:
    if not (header.isascii() and header.isdigit() and len(header) <= _DIGITS and int(header) <= most):
        raise InvalidInference(f"{HEADER} must be the length of the JSON object, within the body")
    return int(header)
