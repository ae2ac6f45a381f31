"""The demo's questions, and asking many of them at once."""

from collections import Counter
from pathlib import Path

import pytest

from backbone import decode
from mimi.client import Client
from mimi.demo.questions import (
    DIGITS,
    MORE_IMAGES,
    Question,
    ask_all,
    digit_questions,
    own_questions,
    read_own,
    shuffled,
)
from mimi.errors import NoMatchingTask, ServerRefused
from tests.training.data.trees import png, write_folder
from training.data import load_data
from training.data.errors import MissingPath

LABELS = {"pets": ("ant", "bee", "cat"), "digits": ("0", "1"), "insects": ("ant", "cat")}


def test_every_digit_goes_to_every_task() -> None:
    asked = Counter(question.task for question in digit_questions(["cifar10"]))
    assert asked == dict.fromkeys(("digits-demo", "digits", "digits-parity", "cifar10"), DIGITS)


def test_each_digit_task_is_asked_in_its_own_words() -> None:
    for question in digit_questions(["cifar10"]):
        match question.task:
            case "digits-parity":
                assert question.expected in {"even", "odd"}
            case "cifar10":
                assert question.expected is None
            case _:
                assert question.expected in set("0123456789")


def test_parity_and_digit_agree_on_each_image() -> None:
    expected = {(question.task, question.image): question.expected for question in digit_questions([])}
    for (task, image), label in expected.items():
        if task == "digits" and label is not None:
            assert expected["digits-parity", image] == ("even", "odd")[int(label) % 2]


def test_no_digit_was_trained_on() -> None:
    train = load_data("digits").train
    seen = {train.where(i).rpartition(": ")[2] for i in range(len(train))}
    assert not seen & {question.image for question in digit_questions([])}


def test_an_image_reaches_the_server_as_it_was_trained_on() -> None:
    question = digit_questions([])[0]
    test = load_data("digits").test
    assert test is not None
    (place,) = [i for i in range(len(test)) if test.where(i).endswith(f": {question.image}")]
    assert decode(question.png).tobytes() == test.image(place).tobytes()


def test_images_go_to_every_task_that_has_their_labels(tmp_path: Path) -> None:
    questions = own_questions(read_own(str(write_folder(tmp_path, {"ant": 1, "cat": 2}))), LABELS)
    assert Counter(question.task for question in questions) == {"pets": 3, "insects": 3}
    assert Counter(question.expected for question in questions) == {"ant": 2, "cat": 4}


def test_a_task_may_be_named(tmp_path: Path) -> None:
    questions = own_questions(read_own(f"insects={write_folder(tmp_path, {'ant': 1, 'cat': 1})}"), LABELS)
    assert {question.task for question in questions} == {"insects"}


def test_a_test_split_is_asked_rather_than_the_training_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 1, "cat": 1})
    write_folder(tmp_path / "test", {"cat": MORE_IMAGES + 5})
    questions = own_questions(read_own(f"pets={tmp_path}"), LABELS)
    assert [question.expected for question in questions] == ["cat"] * MORE_IMAGES


@pytest.mark.parametrize("spec", ["{}", "pets={}"])
def test_labels_that_no_task_has_are_refused(tmp_path: Path, spec: str) -> None:
    write_folder(tmp_path, {"ant": 1, "dog": 1})
    with pytest.raises(NoMatchingTask, match=r"has not all its labels \(ant, dog\)"):
        own_questions(read_own(spec.format(tmp_path)), LABELS)


def test_a_path_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MissingPath):
        read_own("no/such")


def test_questions_are_mixed_the_same_way_every_time() -> None:
    questions = digit_questions([])
    assert shuffled(questions) == shuffled(questions) != questions
    assert len({question.task for question in shuffled(questions)[:20]}) == 3


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
