"""Accuracy against what a method costs: parameters (the paper's Figure 3), compression (Figure 4), GFLOPs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from training.report.drawing import Chart, drawn, legend_right, look
from training.report.groups import Group, Section, Series, series_of
from training.report.results import Result
from training.report.tables import TOGETHER, shared_cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Value = Callable[[Result], float | None]

_SIZE = (7.2, 3.8)  # inches
_WIDE = (9.0, 3.8)
_BARS = "Bars are ± one standard deviation over seeds."
_LINES = "A line joins the sizes after each cycle, trained for as many epochs; other points are after the last cycle."


def accuracy(result: Result) -> float | None:
    """Test top-1 in percent; on validation if there is no test split."""
    found = result.validation if result.test is None else result.test
    return 100 * found if found is not None else None


def against_parameters(section: Section) -> Chart:
    """The paper's Figure 3."""
    draw = partial(_one, section, lambda result: float(result.trained_params), "trained parameters, head included")
    caption = f"{section.title}: accuracy against trained parameters. {_LINES} {_BARS}"
    return drawn("parameters", caption, partial(draw, scale="log"), size=_SIZE)


def against_sigma(section: Section) -> Chart | None:
    """The paper's Figure 4; None if no method has neurons."""
    if not _known(section, _sigma):
        return None
    draw = partial(_one, section, _sigma, "compression σ = 4 M / N")
    caption = f"{section.title}: accuracy against compression, over all sites together. {_LINES} {_BARS}"
    return drawn("sigma", caption, partial(draw, scale="log2"), size=_SIZE)


def against_cost(section: Section) -> Chart:
    """GFLOPs of one image: alone, and for each of several tasks that share it."""
    caption = (
        f"{section.title}: accuracy against GFLOPs of one image: for one task alone and, where known, for each of "
        f"{TOGETHER} tasks asked about the same image, when everything before the first site that differs is computed "
        f"once. {_LINES} {_BARS}"
    )
    return drawn("cost", caption, partial(_costs, section), size=_WIDE)


def _sigma(result: Result) -> float | None:
    return result.sigma


def _costs(section: Section, figure: "Figure") -> None:
    panels = {"GFLOPs, alone": _alone, f"GFLOPs a task, {TOGETHER} on an image": shared_cost}
    known = {label: value for label, value in panels.items() if _known(section, value)}
    row = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    for axes, (label, value) in zip(row, known.items(), strict=True):
        _scatter(axes, series_of(section), value)
        axes.set_xlabel(label)
    row[0].set_ylabel(_ylabel(section))
    legend_right(figure, row[0])


def _alone(result: Result) -> float:
    return result.gflops


def _one(section: Section, value: Value, label: str, figure: "Figure", *, scale: str) -> None:
    axes = figure.subplots()
    _scatter(axes, series_of(section), value)
    axes.set(xlabel=label, ylabel=_ylabel(section))
    if scale == "log2":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.set_xscale(scale)
        axes.xaxis.get_major_locator().set_params(subs=(1, 2, 5))  # type: ignore[call-arg]
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter("")  # where less than a decade is drawn, the minor ticks would be labelled too
    legend_right(figure, axes)


def _ylabel(section: Section) -> str:
    tested = all(result.test is not None for group in section.groups for result in group.results)
    return "test top-1, %" if tested else "top-1, %"


def _known(section: Section, value: Value) -> bool:
    return any(group.spread(value) for group in section.groups)


def _scatter(axes: "Axes", series: Sequence[Series], value: Value) -> None:
    """One marker and colour for each series, at its place in the list, so that it has them in every figure."""
    for place, each in enumerate(series):
        points = [point for group in each.groups if (point := _point(group, value)) is not None]
        if points:
            x, y, error = zip(*points, strict=True)
            line = "-" if len(points) > 1 else "none"
            axes.errorbar(x, y, error, label=each.name, linestyle=line, lw=1, elinewidth=0.8, capsize=2, **look(place))


def _point(group: Group, value: Value) -> tuple[float, float, float] | None:
    """Mean cost, mean accuracy and its standard deviation."""
    at, right = group.spread(value), group.spread(accuracy)
    return (at.mean, right.mean, right.sd or 0.0) if at and right else None
