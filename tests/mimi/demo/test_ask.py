"""Asking many questions at once."""

from pathlib import Path

import pytest

from mimi.client import Client
from mimi.demo.ask import ask_all
from mimi.demo.questions import Question
from mimi.errors import ServerRefused
from tests.training.data.trees import png


def test_replies_come_in_the_order_of_the_questions(client: Client, trained: Path) -> None:
    for task in ("ask-a", "ask-b"):
        client.publish(task, trained.read_bytes())
    questions = [Question(("ask-a", "ask-b")[i % 2], f"image {i}", png(i), "ant") for i in range(20)]
    replies = ask_all(client, questions)
    assert [reply.question for reply in replies] == questions
    assert all(reply.answer.task == reply.question.task and reply.seconds > 0 for reply in replies)
    assert all(reply.right == (reply.predicted == "ant") for reply in replies)


def test_without_an_expectation_nothing_is_right_or_wrong(client: Client, trained: Path) -> None:
    client.publish("ask-c", trained.read_bytes())
    assert ask_all(client, [Question("ask-c", "image", png())])[0].right is None


def test_a_question_that_fails_ends_the_asking(client: Client) -> None:
    with pytest.raises(ServerRefused, match="404"):
        ask_all(client, [Question("nobody", "image", png())])
