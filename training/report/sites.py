"""The number of neurons at each site after pruning: the paper's Figure 5."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from adapters_store import unpack
from training.files import write_atomic
from training.report.drawing import Chart, drawn, look
from training.report.groups import Group, Section, series_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _ROW = 7.2, 1.3  # inches: of the figure, and the height of one row of bars


def neurons_by_site(section: Section) -> Chart | None:
    """After the last cycle, a row of bars for each method; None if nothing was pruned."""
    pruned = [each.groups for each in series_of(section) if len(each.groups) > 1 and _has_widths(each.groups)]
    if not pruned:
        return None
    caption = (
        f"{section.title}: neurons left at each site after the last cycle, mean over seeds. Where there is no bar, the "
        "site runs bare."
    )
    return _chart("neurons", caption, dict(_row(groups) for groups in pruned))


def _has_widths(groups: Sequence[Group]) -> bool:
    """Of one method, with the widths of every site."""
    one = len({group.method for group in groups}) == 1
    return one and all(result.widths for group in groups for result in group.results)


def _row(groups: Sequence[Group]) -> tuple[str, list[float]]:
    first, last = _mean_widths(groups[0]), _mean_widths(groups[-1])
    return f"{groups[-1].method}: {sum(last):.0f} of {sum(first):.0f} neurons left", last


def _mean_widths(group: Group) -> list[float]:
    return [mean(widths) for widths in zip(*(result.widths or () for result in group.results), strict=True)]


def write_allocation(adapters: Mapping[str, bytes], out: Path) -> list[Path]:
    """Draw the neurons at each site of task adapter files, by name. Returns the written paths.

    Raises:
        ArtifactError: a file is no task adapter.
        MissingExtra: matplotlib is not installed.
    """
    rows: dict[str, Sequence[float]] = {}
    for name, data in adapters.items():
        manifest = unpack(data).manifest
        live, most = sum(map(bool, manifest.widths)), sum(manifest.provenance.initial_widths)
        rows[f"{name}: {sum(manifest.widths)} of {most} neurons left, at {live} sites"] = manifest.widths
    chart = _chart("allocation", "Neurons at each site; where there is no bar, the site runs bare.", rows)
    out.mkdir(parents=True, exist_ok=True)
    written = {out / "allocation.svg": chart.svg.encode(), out / "allocation.png": chart.png}
    for path, data in written.items():
        write_atomic(path, data)
    return list(written)


def _chart(name: str, caption: str, rows: Mapping[str, Sequence[float]]) -> Chart:
    return drawn(name, caption, partial(_bars, rows), size=(_WIDTH, 0.5 + _ROW * len(rows)))


def _bars(rows: Mapping[str, Sequence[float]], figure: "Figure") -> None:
    grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, widths) in zip(grid, rows.items(), strict=True):
        axes.bar(range(len(widths)), widths, color=look(0)["color"])
        axes.set_xlim(-0.7, len(widths) - 0.3)
        axes.set_title(title, loc="left")
        axes.set_ylabel("neurons")
        axes.grid(visible=False, axis="x")
    grid[-1].set_xlabel("site, from the input")
    grid[-1].xaxis.get_major_locator().set_params(integer=True)
