"""The demo's tables: one of single answers, one with a line for each task. Judges and prints nothing."""

from collections.abc import Sequence
from statistics import mean, median, quantiles

from mimi.demo.ask import Reply
from mimi.table import Cell, Column, format_table

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
