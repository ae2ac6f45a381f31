"""For each server: its request about an image, the place of its answer, and a comparison of two servers' answers.

Servers may differ only in the form of a request. Nothing is timed before their answers are equal.
"""

import base64
import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from math import isclose
from typing import Any, NamedTuple, Protocol

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


_TOLERANCE = 0.02  # between probabilities: float32 in another order of operations moves them far less


class Known(Protocol):
    """Images, and answers that are known: the first task's to the first images, every task's to the first one."""

    @property
    def images(self) -> Sequence[bytes]:
        """Encoded images."""
        ...

    @property
    def expected(self) -> Sequence[Best]:
        """Answers of the first task."""
        ...

    @property
    def tasks(self) -> Sequence[Best]:
        """Answers of every task to the first image."""
        ...


class WrongAnswer(Exception):
    """A server's answer differs from the model's."""


def check(name: str, port: int, scene: Known) -> None:
    """Ask a server about every image with a known answer; ask our server for every task as well.

    Raises:
        WrongAnswer: another label, or a probability that is off.
        OSError: no answer.
    """
    style = STYLES[name]
    found = [ask(port, style, image) for image in scene.images[: len(scene.expected)]]
    compare(name, found, scene.expected)
    if name == "ours":
        compare(name, [ask(port, ours(task), scene.images[0]) for task in range(len(scene.tasks))], scene.tasks)


def compare(name: str, found: Sequence[Best], wanted: Sequence[Best]) -> None:
    """Raise WrongAnswer where two differ."""
    for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if one.label != other.label or not isclose(one.probability, other.probability, abs_tol=_TOLERANCE):
            raise WrongAnswer(f"{name} says {one} of number {index}, the model {other}")


def ask(port: int, style: Style, image: bytes) -> Best:
    """The most probable label that a server gives to an image.

    Raises:
        OSError: no answer.
    """
    url, headers = f"http://127.0.0.1:{port}{style.path}", {"Content-Type": style.media_type}
    question = urllib.request.Request(url, data=style.body(image), headers=headers)
    with urllib.request.urlopen(question, timeout=60) as answer:
        return best(style, answer.read().decode())
