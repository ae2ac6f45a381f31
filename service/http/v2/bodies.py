"""The bodies of the protocol over REST: JSON, and raw bytes of tensors behind it.

With the binary tensor data extension a body is a JSON object, followed by the raw bytes of tensors in the order of
the JSON. A header says where the JSON ends.

Source: inference_rest.md, "Inference Request JSON Object" and "Inference Response JSON Object"; Triton,
docs/protocol/extension_binary_data.md.
"""

import json
from typing import Any, NamedTuple

from adapters_store.strict_json import Json
from service.errors import InvalidInference
from service.http.payload import bounded_text, read_object
from service.oip import outputs as answers
from service.oip.outputs import Tensor
from service.oip.requests import InputLimits, OutputSpec, ParsedRequest, lone_image, parse_request
from service.oip.schemas import validated
from service.prediction.predict import Outputs

HEADER = "Inference-Header-Content-Length"

_DEPTH = 20
_OUTSIDE_STRINGS = 6 * 2**20  # characters: a number takes up to 24
_ITEMS = 2**18  # numbers in JSON: one image of 224 x 224 pixels, sixteen of 64 x 64
_DIGITS = 10


class SplitBody(NamedTuple):
    """A body in two parts: its JSON object (None: the whole body is the single input), and the bytes behind it."""

    document: dict[str, Json] | None
    binary: memoryview


def split_body(body: bytes, header: str | None) -> SplitBody:
    """Split a body by the value of its `Inference-Header-Content-Length`; None: everything is JSON.

    Raises:
        InvalidInference: the header is no length of a part of the body.
        MalformedJson: not JSON that all parsers read alike, or too much of it.
    """
    length = len(body) if header is None else _length(header, len(body))
    if header is not None and length == 0:
        return SplitBody(None, memoryview(body))
    return SplitBody(parse_json_object(body[:length]), memoryview(body)[length:])


def parse_json_object(body: bytes) -> dict[str, Json]:
    """A JSON object that may hold large tensors.

    Raises:
        MalformedJson: as `split_body`.
    """
    text = bounded_text(body, outside=_OUTSIDE_STRINGS, items=_ITEMS)
    return read_object(text, max_depth=_DEPTH)


def _length(header: str, most: int) -> int:
    if not (header.isascii() and header.isdigit() and len(header) <= _DIGITS and int(header) <= most):
        raise InvalidInference(f"{HEADER} must be the length of the JSON object, within the body")
    return int(header)


def parse_body(body: SplitBody, limits: InputLimits) -> ParsedRequest:
    """The request in a body.

    Raises:
        InvalidInference: this server cannot answer it; the message says why.
    """
    if body.document is None:
        return lone_image(bytes(body.binary))
    return parse_request(validated(body.document), body.binary, limits)


class EncodedResponse(NamedTuple):
    """A response body; `header` is the length of its JSON part where bytes follow it."""

    body: bytes
    header: int | None


def render(outputs: Outputs, parsed: ParsedRequest) -> EncodedResponse:
    """The response to a request that asked one task."""
    (task,) = outputs.tasks
    pairs = answers.tensors(outputs, parsed)
    document = {
        "model_name": task.served.task,
        "model_version": str(task.served.info.version),
        **({} if parsed.id is None else {"id": parsed.id}),
        "parameters": answers.parameters(outputs),
        "outputs": [_output(spec, found) for spec, found in pairs],
    }
    head = json.dumps(document, allow_nan=False).encode()
    if not any(spec.binary for spec, _ in pairs):
        return EncodedResponse(head, None)
    return EncodedResponse(b"".join([head, *(found.data for spec, found in pairs if spec.binary)]), len(head))


def _output(spec: OutputSpec, found: Tensor) -> dict[str, Any]:
    described = {"name": spec.name, "datatype": found.datatype, "shape": found.shape}
    if spec.binary:
        return {**described, "parameters": {"binary_data_size": len(found.data)}}
    return {**described, "data": found.elements}
