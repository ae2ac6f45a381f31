"""Whether two servers say the same of the same images. Nothing that a server does fast counts before that."""

import urllib.request
from collections.abc import Sequence
from math import isclose
from typing import Protocol

from benchmarks.serving.asking import STYLES, Best, Style, best, ours

_TOLERANCE = 0.02  # between probabilities: float32 in another order of operations moves them far less


class Known(Protocol):
    """Images, and answers that are known: the first task's to the first images, every task's to the first one."""

    @property
    def images(self) -> Sequence[bytes]:
        """Encoded."""
        ...

    @property
    def expected(self) -> Sequence[Best]:
        """Of the first task."""
        ...

    @property
    def tasks(self) -> Sequence[Best]:
        """Of every task."""
        ...


class WrongAnswer(Exception):
    """A server does not say what the model says."""


def check(name: str, port: int, scene: Known) -> None:
    """Ask a server about every image whose answer is known, and ours by every task as well.

    Raises:
        WrongAnswer: another label, or a probability that is off.
        OSError: no answer.
    """
    style = STYLES[name]
    found = [_ask(port, style, image) for image in scene.images[: len(scene.expected)]]
    compare(name, found, scene.expected)
    if name == "ours":
        compare(name, [_ask(port, ours(task), scene.images[0]) for task in range(len(scene.tasks))], scene.tasks)


def compare(name: str, found: Sequence[Best], wanted: Sequence[Best]) -> None:
    """Raise WrongAnswer where two differ."""
    for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if one.label != other.label or not isclose(one.probability, other.probability, abs_tol=_TOLERANCE):
            raise WrongAnswer(f"{name} says {one} of number {index}, the model {other}")


def _ask(port: int, style: Style, image: bytes) -> Best:
    url, headers = f"http://127.0.0.1:{port}{style.path}", {"Content-Type": style.media_type}
    question = urllib.request.Request(url, data=style.body(image), headers=headers)
    with urllib.request.urlopen(question, timeout=60) as answer:
        return best(style, answer.read().decode())
