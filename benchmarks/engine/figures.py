"""A figure a claim: the figure with its interval against its goal, and everyone's times where peers were measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.engine.goals import GOALS, Goal

OURS, THEIRS, LIMIT = "#2a6f97", "#adb5bd", "#c1121f"


def draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """One SVG file for each figure that was measured; returns them."""
    drawn = []
    with mpl.rc_context({"svg.hashsalt": "mimi", "svg.fonttype": "none"}):  # the same run gives the same bytes
        for goal in GOALS:
            if result[goal.key] is not None:
                drawn.append(folder / f"{goal.key}.svg")
                _claim(goal, result).savefig(drawn[-1], metadata={"Date": None}, bbox_inches="tight")
    return drawn


def _claim(goal: Goal, result: Mapping[str, Any]) -> Figure:
    times = result["details"].get(goal.experiment, {}).get("times", {})
    figure = Figure(figsize=(8, 1.6 + 0.28 * len(times)))
    if not times:
        _interval(figure.subplots(), goal, result)
        return figure
    above, below = figure.subplots(2, 1, height_ratios=[1, max(1, 0.4 * len(times))])
    _interval(above, goal, result)
    _bars(below, times)
    figure.tight_layout()
    return figure


def _interval(axes: Axes, goal: Goal, result: Mapping[str, Any]) -> None:
    found = result["intervals"][goal.key]
    middle = found["median"]
    axes.errorbar(
        [middle], [0], xerr=[[middle - found["low"]], [found["high"] - middle]], fmt="o", color=OURS, capsize=4
    )
    if goal.limit is not None:
        sign = "≤" if goal.most else "≥"
        axes.axvline(goal.limit, color=LIMIT, linestyle="--", label=f"goal {sign} {goal.limit:g} {goal.unit}")
        axes.legend(loc="upper right", fontsize=8, frameon=False)
    quick = " (quick run: no claim)" if result["quick"] else ""
    axes.set_title(f"{goal.what}{quick}", fontsize=9, loc="left")
    axes.set_yticks([])
    axes.set_xlabel(goal.unit, fontsize=8)
    axes.margins(x=0.4)


def _bars(axes: Axes, times: Mapping[str, Any]) -> None:
    names = sorted(times, key=lambda name: times[name]["median"], reverse=True)
    colours = [OURS if name.startswith("ours") else THEIRS for name in names]
    axes.barh(names, [times[name]["median"] for name in names], color=colours)
    axes.set_xlabel("seconds, median", fontsize=8)
    axes.tick_params(labelsize=8)
