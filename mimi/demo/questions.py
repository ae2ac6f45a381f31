"""The demo's questions: images that no task has trained on, and the right label where it is known.

They are asked at the same time, as several clients would do. No answer is judged here.
"""

import io
import random
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from mimi.client import Answer, Client
from mimi.errors import NoMatchingTask
from training.data import Data, check, load_data
from training.data.sets import ImageSet

DIGIT_TASKS = ("digits-demo", "digits", "digits-parity")
DIGITS = 120  # held-back digits, each asked of every task
MORE_IMAGES = 60  # at most, of the user's data set
CLIENTS = 8  # so that requests for different tasks meet in one batch
SEED = 7
_NAMED = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Question:
    """One image for one task; `expected` is None if no label of the task fits."""

    task: str
    image: str  # its name, for people
    png: bytes
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A question, its answer, and the seconds that it took."""

    question: Question
    answer: Answer
    seconds: float

    @property
    def predicted(self) -> str:
        """The most probable label."""
        return self.answer.labels[0]

    @property
    def right(self) -> bool | None:
        """Whether the expected label was predicted; None if no label is expected."""
        return None if self.question.expected is None else self.predicted == self.question.expected


def digit_questions(other_tasks: Sequence[str]) -> list[Question]:
    """Held-back digits for the digit tasks, and the same images for all other tasks."""
    digits, parity = _held_back("digits"), _held_back("digits-parity")
    questions = []
    for i in _draw(len(digits), DIGITS):
        name, png = digits.where(i).rpartition(": ")[2], _png(digits.image(i))
        expected = dict.fromkeys(DIGIT_TASKS, digits.labels[digits.targets[i]])
        expected["digits-parity"] = parity.labels[parity.targets[i]]  # the same split: the same digit
        questions += [Question(task, name, png, expected.get(task)) for task in (*DIGIT_TASKS, *other_tasks)]
    return questions


@dataclass(frozen=True, slots=True)
class OwnImages:
    """The user's labelled images, and the task they are for; None: every task that has their labels."""

    data: Data
    task: str | None


def read_own(spec: str) -> OwnImages:
    """Read and check the user's images: a specification for `load_data`, or TASK=specification.

    Raises:
        DataError: the data set cannot be read.
    """
    named = _NAMED.fullmatch(spec)
    data = load_data(named[2] if named else spec)
    check(data)
    return OwnImages(data, named[1] if named else None)


def own_questions(own: OwnImages, labels: Mapping[str, Sequence[str]]) -> list[Question]:
    """The user's images for every task that fits, given the labels of every served task.

    Raises:
        NoMatchingTask: no task, or not the named one, has all their labels.
    """
    data = own.data
    tasks = [name for name in labels if own.task in (None, name) and set(data.labels) <= set(labels[name])]
    if not tasks:
        who = own.task or "no served task"
        raise NoMatchingTask(f"{data.name}: {who} has not all its labels ({', '.join(data.labels)})")
    images = data.test or data.train
    return [
        Question(task, f"{images.name} [{i}]", _png(images.image(i)), data.labels[images.targets[i]])
        for i in _draw(len(images), MORE_IMAGES)
        for task in tasks
    ]


def shuffled(questions: Sequence[Question]) -> list[Question]:
    """The questions in random order, the same every time."""
    return random.Random(SEED).sample(questions, len(questions))


def ask_all(client: Client, questions: Sequence[Question]) -> list[Reply]:
    """Send every question, a few at a time, in their order.

    Raises:
        CommandError: one of them got no answer, or an error.
    """
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda question: _ask(client, question), questions))


def _held_back(name: str) -> ImageSet:
    data = load_data(name)
    return data.test or data.train


def _draw(there: int, most: int) -> list[int]:
    return random.Random(SEED).sample(range(there), min(there, most))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _ask(client: Client, question: Question) -> Reply:
    begun = time.perf_counter()
    answer = client.predict(question.task, question.png)
    return Reply(question, answer, time.perf_counter() - begun)
