"""Asks a server many questions at the same time, as several clients would. Judges no answer."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mimi.client import Answer, Client
from mimi.demo.questions import Question

CLIENTS = 8  # so that requests for different tasks meet in one batch


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
        """Whether the expected label was predicted; None where no label is expected."""
        return None if self.question.expected is None else self.predicted == self.question.expected


def ask_all(client: Client, questions: Sequence[Question]) -> list[Reply]:
    """Send every question, a few at a time, in their order.

    Raises:
        CommandError: one of them got no answer, or an error.
    """
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda question: _ask(client, question), questions))


def _ask(client: Client, question: Question) -> Reply:
    begun = time.perf_counter()
    answer = client.predict(question.task, question.png)
    return Reply(question, answer, time.perf_counter() - begun)
