"""How each server is asked about an image, and where its answer is: the one difference between them that is allowed."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_TOP_K = 5
_JSON = "application/json"


class Best(NamedTuple):
    """The most probable label."""

    label: str
    probability: float


class Style(NamedTuple):
    """How to ask: the path, the body's type, what an image becomes, and where the predictions are in the answer."""

    path: str
    media_type: str
    body: Callable[[bytes], bytes]
    predictions: Callable[[Any], list[dict[str, Any]]]


def task_name(number: int) -> str:
    """The name under which a task is published."""
    return f"task-{number:02}"


def ours(task: int) -> Style:
    """Our own server: the image as it is."""
    path = f"/v1/tasks/{task_name(task)}/predict?top_k={_TOP_K}"
    return Style(path, "image/jpeg", bytes, lambda answer: answer["results"][0]["predictions"])


def _text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def _open_inference(image: bytes) -> bytes:
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [_text(image)]}
    return _dumped({"inputs": [tensor]})


def _dumped(document: object) -> bytes:
    return json.dumps(document).encode()


STYLES: Mapping[str, Style] = {
    "ours": ours(0),
    "litserve": Style("/predict", _JSON, lambda i: _dumped({"image": _text(i)}), lambda a: a["predictions"]),
    "bentoml": Style("/predict", _JSON, lambda i: _dumped({"images": [_text(i)]}), lambda a: a[0]["predictions"]),
    "mlserver": Style(
        "/v2/models/model/infer",
        _JSON,
        _open_inference,
        lambda a: json.loads(a["outputs"][0]["data"][0])["predictions"],
    ),
    "ray": Style("/", "image/jpeg", bytes, lambda a: a["predictions"]),
}


def request(style: Style, image: bytes) -> bytes:
    """A whole request, ready to be sent."""
    body = style.body(image)
    head = (
        f"POST {style.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {style.media_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def best(style: Style, body: str) -> Best:
    """The most probable label of an answer."""
    first = style.predictions(json.loads(body))[0]
    return Best(str(first["label"]), float(first["probability"]))
