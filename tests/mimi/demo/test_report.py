"""The demo's tables."""

from mimi.demo.report import answer_table, task_table
from tests.mimi.demo.replies import reply


def test_an_answer_is_one_line_with_its_verdict() -> None:
    lines = answer_table([reply("digits", "3", "3"), reply("digits", "3", "8"), reply("cifar10", None, "cat")])
    assert [line.split() for line in lines.splitlines()[2:]] == [
        ["digit", "7", "digits", "3", "3", "✓", "1", "10.0", "0.7500", "0.2500"],
        ["digit", "7", "digits", "3", "8", "✗", "1", "10.0", "0.7500", "0.2500"],
        ["digit", "7", "cifar10", "-", "cat", "1", "10.0", "0.7500", "0.2500"],
    ]


def test_a_task_is_one_line_with_its_share() -> None:
    lines = task_table([reply("digits", "3", "3"), reply("digits", "3", "8"), reply("cifar10", None, "cat")])
    assert [line.split() for line in lines.splitlines()[2:]] == [
        ["cifar10", "1", "1", "10.0", "10.0", "0.7500", "0.2500", "25.0"],
        ["digits", "1", "2", "1", "0.500", "10.0", "10.0", "0.7500", "0.2500", "25.0"],
    ]
