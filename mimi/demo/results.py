"""The results of the demo: a table of answers, a table of tasks, and checks, each one sentence with a verdict.

Asks and prints nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles

from mimi.client import Document
from mimi.demo.questions import DIGIT_TASKS, Reply
from mimi.terminal import Cell, Column, format_table

FLOOR = 0.9  # share of held-back digits that each digit task must get right
PRUNINGS = 3  # of the freshly trained task, at least
_ANSWERS = (
    Column("image"),
    Column("task"),
    Column("expected"),
    Column("predicted"),
    Column(""),
    Column("version"),
    Column("latency ms", ".1f"),
    Column("GFLOPs spent", ".4f"),
    Column("saved", ".4f"),
)
_TASKS = (
    Column("task"),
    Column("version"),
    Column("asked"),
    Column("right"),
    Column("share", ".3f"),
    Column("median ms", ".1f"),
    Column("p95 ms", ".1f"),
    Column("GFLOPs spent", ".4f"),
    Column("saved", ".4f"),
    Column("saved %", ".1f"),
)
_MARKS = {True: "✓", False: "✗", None: ""}


def answer_table(replies: Sequence[Reply]) -> str:
    """One line for each answer."""
    return format_table(_ANSWERS, [_answer_row(reply) for reply in replies])


def task_table(replies: Sequence[Reply]) -> str:
    """One line for each task, by name."""
    tasks = sorted({reply.question.task for reply in replies})
    return format_table(_TASKS, [_task_row([each for each in replies if each.question.task == task]) for task in tasks])


def _answer_row(reply: Reply) -> list[Cell]:
    question, answer = reply.question, reply.answer
    asked: list[Cell] = [question.image, question.task, question.expected or "-"]
    got: list[Cell] = [reply.predicted, _MARKS[reply.right], answer.version, 1000 * reply.seconds]
    return [*asked, *got, answer.gflops_spent, answer.gflops_saved]


def _task_row(replies: Sequence[Reply]) -> list[Cell]:
    judged = [reply.right for reply in replies if reply.right is not None]
    times = [1000 * reply.seconds for reply in replies]
    spent = mean(reply.answer.gflops_spent for reply in replies)
    saved = mean(reply.answer.gflops_saved for reply in replies)
    first = replies[0]
    known: list[Cell] = [sum(judged), mean(judged)] if judged else [None, None]
    slow = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    named: list[Cell] = [first.question.task, first.answer.version, len(replies)]
    return [*named, *known, median(times), slow, spent, saved, 100 * saved / (spent + saved)]


@dataclass(frozen=True, slots=True)
class Check:
    """A sentence, and whether it is true."""

    sentence: str
    holds: bool


def check_all(replies: Sequence[Reply], tasks: Mapping[str, Document], published: Document) -> list[Check]:
    """Judge the whole run.

    Args:
        replies: every answer.
        tasks: the server's document of each task that was asked.
        published: the server's answer to the upload.
    """
    return [
        *(_accuracy(task, [each for each in replies if each.question.task == task]) for task in DIGIT_TASKS),
        _upload(tasks[DIGIT_TASKS[0]], published),
        _cycles(tasks[DIGIT_TASKS[0]]),
        _others(tasks),
        _identity(replies, tasks),
        _savings(replies, tasks),
    ]


def _accuracy(task: str, replies: Sequence[Reply]) -> Check:
    right = sum(reply.right is True for reply in replies)
    share = right / max(len(replies), 1)
    return Check(f"{task} got {right} of {len(replies)} held-back digits right (floor {FLOOR:.0%})", share >= FLOOR)


def _upload(task: Document, published: Document) -> Check:
    same = all(task[key] == published[key] for key in ("version", "sha256"))
    return Check(f"the uploaded {published['task']} is live as version {published['version']}", same)


def _cycles(task: Document) -> Check:
    cycles: int = task["provenance"]["cycles"]
    sentence = f"{task['task']} was trained in {cycles} cycles with {cycles - 1} prunings between (at least {PRUNINGS})"
    return Check(sentence, cycles - 1 >= PRUNINGS)


def _others(tasks: Mapping[str, Document]) -> Check:
    others = sorted(set(tasks) - set(DIGIT_TASKS))
    return Check(f"other tasks answered over the same backbone: {', '.join(others) or 'none'}", bool(others))


def _identity(replies: Sequence[Reply], tasks: Mapping[str, Document]) -> Check:
    named = all(
        (reply.answer.task, reply.answer.version, reply.answer.sha256)
        == (task["task"], task["version"], task["sha256"])
        for reply in replies
        for task in (tasks[reply.question.task],)
    )
    return Check(f"all {len(replies)} answers name the task, version and SHA-256 that is live", named)


def _savings(replies: Sequence[Reply], tasks: Mapping[str, Document]) -> Check:
    pruned = {name for name, task in tasks.items() if 0 in task["widths"]}
    positive = all(
        reply.answer.gflops_spent > 0 and (reply.answer.gflops_saved > 0 or reply.question.task not in pruned)
        for reply in replies
    )
    removed = f"{len(pruned)} of {len(tasks)} tasks have removed sites, and their answers cost less than before pruning"
    return Check(removed, positive and bool(pruned))
