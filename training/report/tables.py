"""Tables of a comparison as Markdown and CSV."""

import csv
import html
import io
from collections.abc import Callable, Sequence

from training.report.groups import Group, Section, Spread
from training.report.results import Result

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # header and rows

TOGETHER = 8  # tasks that share an image, where a shared trunk is counted
_WORDS = ("method",)  # columns that read from the left
_BYTES = 4  # of a trained parameter, as the paper counts storage
_MEGA = 1e6


def shared_cost(result: Result) -> float | None:
    """GFLOPs a task when several tasks share one image: their common prefix is computed once for all of them."""
    if result.shared_gflops is None:
        return None
    return result.shared_gflops / TOGETHER + result.gflops - result.shared_gflops


def budgets(section: Section) -> Table:
    """Every method at every budget, those that had the same number of epochs together."""
    header = ("epochs", "method", "learning rate", "neurons", "own parameters", "head", "validation", "test", "seeds")
    groups = sorted(section.groups, key=lambda group: (group.epochs, group.method))
    rows = [
        (
            str(group.epochs) if group.epochs else "converged",
            group.method,
            _rates(group),
            _text(group, lambda result: result.neurons, "{:,.0f}"),
            _text(group, lambda result: result.own_params, "{:,.0f}"),
            _text(group, lambda result: result.head_params, "{:,.0f}"),
            *_accuracies(group),
            str(len(group.results)),
        )
        for group in groups
    ]
    return header, rows


def costs(section: Section) -> Table:
    """The cost of every method after its last cycle: storage, and GFLOPs alone and with tasks that share an image."""
    header = (
        "method", "epochs", "test", "own parameters", "MB at 4 bytes", "MB of the file", "GFLOPs", "paper's GFLOPs",
        f"GFLOPs a task, {TOGETHER} on an image", "training seconds",
    )  # fmt: skip
    rows = [
        (
            group.method,
            str(group.epochs) if group.epochs else "converged",
            _accuracies(group)[1],
            _text(group, lambda result: result.own_params, "{:,.0f}"),
            _text(group, lambda result: result.trained_params * _BYTES / _MEGA, "{:.3f}"),
            _text(group, lambda result: result.file_bytes and result.file_bytes / _MEGA, "{:.3f}"),
            _text(group, lambda result: result.gflops, "{:.4f}"),
            _text(group, lambda result: result.gflops_paper, "{:.4f}"),
            _text(group, shared_cost, "{:.4f}"),
            _text(group, lambda result: result.seconds, "{:,.0f}"),
        )
        for group in section.last
    ]
    return header, rows


def markdown(table: Table) -> str:
    """The table as Markdown. Pipes, line breaks and markup in cells are escaped."""
    header, rows = table
    rule = ["---" if title in _WORDS else "---:" for title in header]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in (header, rule, *rows))


def _cell(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")


_FIGURES: dict[str, Callable[[Result], float | None]] = {
    "learning_rate": lambda result: result.learning_rate,
    "val_top1": lambda result: result.validation,
    "test_top1": lambda result: result.test,
    "own_params": lambda result: result.own_params,
    "head_params": lambda result: result.head_params,
    "neurons": lambda result: result.neurons,
    "sigma": lambda result: result.sigma,
    "gflops": lambda result: result.gflops,
    "gflops_paper": lambda result: result.gflops_paper,
    f"gflops_of_{TOGETHER}": shared_cost,
    "file_bytes": lambda result: result.file_bytes,
    "seconds": lambda result: result.seconds,
}


def as_csv(sections: Sequence[Section]) -> str:
    """One line for each method after each cycle, with mean and standard deviation of every figure; unknown: empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = [f"{name}_{part}" for name in _FIGURES for part in ("mean", "sd")]
    writer.writerow(
        ["dataset", "purpose", "per_class", "cycle_epochs", "arena", "method", "cycle", "epochs", "seeds", *figures]
    )
    for section in sections:
        arena = section.arena
        about = [arena.dataset, arena.purpose, arena.per_class, arena.cycle_epochs, arena.digest]
        for group in section.groups:
            spreads = [group.spread(value) for value in _FIGURES.values()]
            writer.writerow([*about, group.method, group.cycle, group.epochs, len(group.results), *_numbers(spreads)])
    return text.getvalue()


def _numbers(spreads: Sequence[Spread | None]) -> list[float | None]:
    """Mean and standard deviation of each, None if there is none."""
    return [number for spread in spreads for number in ((spread.mean, spread.sd) if spread else (None, None))]


def _rates(group: Group) -> str:
    rates = sorted({result.learning_rate for result in group.results if result.learning_rate})
    return ", ".join(f"{rate:g}" for rate in rates) or "-"


def _accuracies(group: Group) -> tuple[str, str]:
    """Validation and test."""
    return (
        _text(group, lambda result: result.validation, "{:.3f}"),
        _text(group, lambda result: result.test, "{:.3f}"),
    )


def _text(group: Group, value: Callable[[Result], float | None], form: str) -> str:
    """Mean, and standard deviation where seeds differ."""
    spread = group.spread(value)
    if spread is None:
        return "-"
    middle, sd = form.format(spread.mean), form.format(spread.sd or 0.0)
    return f"{middle} ± {sd}" if sd != form.format(0.0) else middle
