"""The report of comparisons, written into a folder: tables, figures, and a page with all of them."""

import re
from collections.abc import Sequence
from pathlib import Path

from training.files import write_atomic
from training.report import page
from training.report.curves import Logged, read_progress, validation_by_epoch
from training.report.drawing import Chart
from training.report.errors import UnreadableResult
from training.report.figures import against_cost, against_parameters, against_sigma
from training.report.groups import Section, sections_of
from training.report.means import families_of, means
from training.report.page import Markup
from training.report.paired import differences, overall
from training.report.results import read_results
from training.report.sites import neurons_by_site
from training.report.tables import as_csv, budgets, costs, markdown

_TITLE = "Methods at equal budgets"
_OVER_SETS, _BY_SEED = "MiMi against the others, over data sets", "MiMi against the others, paired by seed"
_SPREAD = (
    "Accuracy is top-1 in [0, 1]: mean over seeds ± sample standard deviation. Methods with the same number of epochs "
    "had the same budget: the same images, as many epochs, a schedule that restarted in every cycle, and a learning "
    "rate chosen on validation after one cycle on seed 0."
)


def write_comparison(runs: Sequence[Path], out: Path, *, work: Path | None = None) -> list[Path]:
    """Write tables, figures and a page about the rows of `runs`; returns the paths, the page first.

    Args:
        runs: files of rows, of `mimi compare` or of earlier studies.
        out: the folder to write into; made if it is not there.
        work: the work folder of the comparison, for validation by epoch.

    Raises:
        UnreadableResult: a file is damaged, or there is not one row.
        MissingExtra: matplotlib is not installed.
    """
    sections = sections_of(read_results(runs))
    if not sections:
        raise UnreadableResult(f"{', '.join(map(str, runs))}: no rows yet")
    logged = read_progress(work) if work else {}
    charts = {section.title: charts_of(section, logged) for section in sections}
    files = {"report.html": _page(sections, charts).encode(), "tables.md": _markdown(sections).encode()}
    files["tables.csv"] = as_csv(sections).encode()
    for title, drawn in charts.items():
        files |= {f"{_slug(title)}-{chart.name}.svg": chart.svg.encode() for chart in drawn}
        files |= {f"{_slug(title)}-{chart.name}.png": chart.png for chart in drawn}
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomic(out / name, data)
    return [out / name for name in files]


def charts_of(section: Section, logged: Logged) -> list[Chart]:
    """Every figure for which the section has data."""
    drawn = (
        against_parameters(section),
        against_sigma(section),
        against_cost(section),
        neurons_by_site(section),
        validation_by_epoch(section, logged),
    )
    return [chart for chart in drawn if chart]


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")


def _markdown(sections: Sequence[Section]) -> str:
    parts = [f"# {_TITLE}", _SPREAD]
    for family in families_of(sections):
        parts += [f"## Means: {family.title}", markdown(means(family))]
    if table := overall(sections):
        parts += [f"## {_OVER_SETS}", markdown(table)]
    for section in sections:
        title = re.sub(r"[<>\s]+", " ", section.title)
        parts += [f"## {title}", "### Accuracy by budget", markdown(budgets(section))]
        if table := differences(section):
            parts += [f"### {_BY_SEED}", markdown(table)]
        parts += ["### What it costs", markdown(costs(section))]
    return "\n\n".join(parts) + "\n"


def _page(sections: Sequence[Section], charts: dict[str, list[Chart]]) -> str:
    parts: list[Markup] = [page.paragraph(_SPREAD)]
    for family in families_of(sections):
        parts += [page.heading(f"Means: {family.title}"), page.figures(means(family))]
    if table := overall(sections):
        parts += [page.heading(_OVER_SETS), page.figures(table)]
    for section in sections:
        parts.append(page.heading(section.title))
        parts += [page.chart(chart) for chart in charts[section.title]]
        parts += [page.heading("Accuracy by budget"), page.figures(budgets(section))]
        if table := differences(section):
            parts += [page.heading(_BY_SEED), page.figures(table)]
        parts += [page.heading("What it costs"), page.figures(costs(section))]
    return page.page(_TITLE, parts)
