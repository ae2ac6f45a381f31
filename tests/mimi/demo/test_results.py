"""The demo's tables, and what must be true at its end."""

from collections.abc import Sequence

import pytest

from mimi.demo.questions import Reply
from mimi.demo.results import answer_table, check_all, task_table
from tests.mimi.demo.replies import reply

DIGITS = ("digits-demo", "digits", "digits-parity")
PUBLISHED = {"task": "digits-demo", "version": 1, "sha256": "ab"}


def task(name: str, **changes: object) -> dict[str, object]:
    return {"task": name, "version": 1, "sha256": "ab", "widths": [0, 4], "provenance": {"cycles": 4}} | changes


TASKS = {name: task(name) for name in (*DIGITS, "cifar10")}
REPLIES = [reply(name, "3", "3") for name in DIGITS for _ in range(10)] + [reply("cifar10", None, "cat")]


def broken(
    replies: Sequence[Reply] = REPLIES,
    tasks: dict[str, dict[str, object]] = TASKS,
    published: dict[str, object] = PUBLISHED,
) -> list[str]:
    return [check.sentence for check in check_all(replies, tasks, published) if not check.holds]


def test_a_good_run_meets_every_expectation() -> None:
    assert broken() == []


def test_nine_of_ten_is_enough_and_eight_is_not() -> None:
    others = REPLIES[10:]
    wrong, right = reply("digits-demo", "3", "8"), reply("digits-demo", "3", "3")
    assert broken([wrong, *[right] * 9, *others]) == []
    assert broken([*[wrong] * 2, *[right] * 8, *others]) == [
        "digits-demo got 8 of 10 held-back digits right (floor 90%)"
    ]


def test_a_task_that_was_not_asked_is_noticed() -> None:
    assert len(broken(REPLIES[10:])) == 1


@pytest.mark.parametrize("field", [{"version": 2}, {"sha256": "cd"}])
def test_answers_of_another_version_are_noticed(field: dict[str, object]) -> None:
    assert len(broken(tasks=TASKS | {"digits": task("digits", **field)})) == 1


def test_an_upload_that_is_not_live_is_noticed() -> None:
    assert broken(published=PUBLISHED | {"version": 2}) == ["the uploaded digits-demo is live as version 2"]


def test_a_pruned_task_that_saves_nothing_is_noticed() -> None:
    assert len(broken([*REPLIES[:-1], reply("cifar10", None, "cat", saved=0.0)])) == 1


def test_a_task_with_all_its_sites_need_not_save() -> None:
    tasks = TASKS | {"cifar10": task("cifar10", widths=[4, 4])}
    assert broken([*REPLIES[:-1], reply("cifar10", None, "cat", saved=0.0)], tasks) == []


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
