"""Validation accuracy by epoch."""

from collections.abc import Iterable, Mapping
from functools import partial
from math import ceil
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from training.jsonl import read_rows
from training.progress import PROGRESS
from training.report.drawing import GREY, Chart, drawn, legend_right, look
from training.report.errors import UnreadableResult
from training.report.groups import Group, Section, series_of
from training.report.results import Arena

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Mapping[int, float]  # epoch, counted through all cycles from 1 -> validation top-1 in [0, 1]
Logged = dict[tuple[str, str, int, float | None], dict[int, float]]  # arena, method, seed and rate -> curve

TOGETHER = 8  # curves in one pair of axes; more are drawn apart
_COLUMNS = 4
_WIDTH = 7.2  # inches


def read_progress(work: Path) -> Logged:
    """The epochs that trainings logged anywhere under a work folder.

    Raises:
        UnreadableResult: a line is damaged.
    """
    found: Logged = {}
    try:
        for path in sorted(work.rglob(PROGRESS)):
            for line in read_rows(path):
                key = (line["arena"], line["method"], line["seed"], line["rate"])
                epoch = line.get("before", line["cycle"] * line["cycle_epochs"] + line["epoch"]) + 1
                found.setdefault(key, {})[epoch] = line["validation"]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableResult(f"{work}: no progress of a comparison: {error}") from error
    return found


def validation_by_epoch(section: Section, logged: Logged) -> Chart | None:
    """Mean over seeds at the rate that was chosen; None if nothing was logged."""
    curves = {group.method: _mean_curve(_chosen(group, section.arena, logged)) for group in section.last}
    curves = {method: curve for method, curve in curves.items() if curve}
    if not curves:
        return None
    caption = (
        f"{section.title}: validation accuracy after every epoch, mean over seeds. The schedule restarts at lines."
    )
    cycle, last = section.arena.cycle_epochs, max(max(curve) for curve in curves.values())
    return curve_chart(curves, range(cycle, last, cycle), caption, places=_places(section, curves))


def _places(section: Section, curves: Iterable[str]) -> dict[str, int]:
    """Colours and markers as in every other figure; methods that are not a series there come last."""
    series = [each.name for each in series_of(section)]
    others = [name for name in curves if name not in series]
    return {name: place for place, name in enumerate([*series, *others])}


def _chosen(group: Group, arena: Arena, logged: Logged) -> list[Curve]:
    keys = ((arena.digest, group.method, result.seed, result.learning_rate) for result in group.results)
    return [logged[key] for key in keys if key in logged]


def _mean_curve(curves: Iterable[Curve]) -> Curve:
    by_epoch: dict[int, list[float]] = {}
    for epoch, value in (point for curve in curves for point in curve.items()):
        by_epoch.setdefault(epoch, []).append(value)
    return {epoch: mean(by_epoch[epoch]) for epoch in sorted(by_epoch)}


def curve_chart(
    curves: Mapping[str, Curve], restarts: Iterable[int], caption: str, *, places: Mapping[str, int] | None = None
) -> Chart:
    """Curves by name: a few share one pair of axes; if there are many, each has its own.

    Args:
        curves: what to draw.
        restarts: epochs after which a cycle begins.
        caption: of the chart.
        places: which colour and marker each has, see `drawing.look`; left out: in their order.
    """
    together = len(curves) <= TOGETHER
    looks = places or {name: place for place, name in enumerate(curves)}
    marks = tuple(restarts)
    draw = partial(_together, curves, marks, looks) if together else partial(_apart, curves, marks)
    size = (_WIDTH, 3.4 if together else 0.6 + 1.3 * ceil(len(curves) / _COLUMNS))
    return drawn("progress", caption, draw, size=size)


def _together(curves: Mapping[str, Curve], restarts: Iterable[int], looks: Mapping[str, int], figure: "Figure") -> None:
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(*_xy(curve), label=name, lw=1.2, **{**look(looks[name]), "markersize": 3})
    _mark_cycles(axes, restarts)
    axes.set(xlabel="epoch", ylabel="validation top-1, %")
    if len(curves) > 1:
        legend_right(figure, axes)


def _apart(curves: Mapping[str, Curve], restarts: Iterable[int], figure: "Figure") -> None:
    rows = ceil(len(curves) / _COLUMNS)
    grid = list(figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flat)
    for axes, (name, curve) in zip(grid, curves.items(), strict=False):
        axes.plot(*_xy(curve), color=look(0)["color"], lw=1.2)
        axes.set_title(name, loc="left", fontsize=8)
        _mark_cycles(axes, restarts)
    for place, axes in enumerate(grid[len(curves) :], len(curves)):
        axes.set_visible(False)
        grid[place - _COLUMNS].tick_params(labelbottom=True)  # now the lowest of its column
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("validation top-1, %", fontsize=9)


def _xy(curve: Curve) -> tuple[list[int], list[float]]:
    return list(curve), [100 * value for value in curve.values()]


def _mark_cycles(axes: "Axes", restarts: Iterable[int]) -> None:
    """A thin line where a cycle begins."""
    for epoch in restarts:
        axes.axvline(epoch + 0.5, color=GREY, lw=0.5, ls=":")
    axes.grid(visible=False, axis="x")
