"""The page of one MiMi run: data, options, and the figures of every size."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from training.cycles import CycleResult
from training.files import write_atomic
from training.mimi import Job, Outcome
from training.progress import PROGRESS, progress_rows
from training.report import page
from training.report.curves import curve_chart
from training.report.drawing import Chart
from training.report.errors import MissingExtra
from training.report.figures import against_parameters
from training.report.groups import sections_of
from training.report.mistakes import mistakes
from training.report.page import Markup
from training.report.results import Arena, Result
from training.report.sites import neurons_by_site
from training.report.tables import Table

PAGE = "report.html"

_PACKAGES = ("torch", "timm", "numpy")


def write_run_page(job: Job, outcome: Outcome) -> Path:
    """Write `report.html` into the run's folder; without matplotlib it has no figures, and says so."""
    path = job.folder / PAGE
    write_atomic(path, run_page(job, outcome).encode())
    return path


def run_page(job: Job, outcome: Outcome) -> str:
    """The page."""
    options = asdict(outcome.options)
    parts = [
        page.facts(_about(job, outcome)),
        page.heading("Sizes"),
        page.figures(_sizes(outcome.results)),
        *_charts(job, outcome),
        *mistakes(job, outcome),
        page.heading("Options of the algorithm"),
        page.facts({name: value for name, value in options.items() if not isinstance(value, dict)}),
        *_groups(options),
        page.heading("Labels"),
        page.paragraph(", ".join(job.prepared.labels)),
    ]
    return page.page(f"MiMi on {job.prepared.name}", parts)


def _about(job: Job, outcome: Outcome) -> dict[str, object]:
    """The task, data and backbone of the run; nothing that names the machine."""
    prepared, device = job.prepared, next(job.backbone.parameters()).device
    cuda = device.type == "cuda"
    return {
        "data set": f"{prepared.name}, {len(prepared.labels)} classes",
        "images": f"{len(prepared.train):,} to train on, {len(prepared.validation):,} to choose by, "
        f"{len(prepared.test) if prepared.test else 0:,} to test on",
        "backbone": f"{job.backbone.name}, fingerprint {job.backbone.fingerprint}",
        "seed": outcome.options.seed,
        "learning rate": outcome.options.fit.learning_rate,
        "learning rates tried": job.options.learning_rates,
        "device": torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} thread(s)",
        "environment": f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        + ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def _sizes(results: tuple[CycleResult, ...]) -> Table:
    header = (
        "cycle", "neurons", "live sites", "first live", "adapter parameters", "head", "GFLOPs", "bytes of the file",
        "rank correlation", "validation", "test",
    )  # fmt: skip
    rows = [
        (
            str(result.cycle + 1),
            f"{result.neurons:,}",
            str(len(result.live_sites)),
            "-" if result.first_live_site is None else str(result.first_live_site),
            f"{result.adapter_parameters:,}",
            f"{result.head_parameters:,}",
            f"{result.flops / 1e9:.4f}",
            f"{result.size:,}",
            f"{result.rank_correlation:.2f}",
            f"{result.validation:.4f}",
            "-" if result.test is None else f"{result.test:.4f}",
        )
        for result in results
    ]
    return header, rows


def _groups(options: Mapping[str, object]) -> list[Markup]:
    """Options that are records themselves, each under a heading."""
    nested = {name: value for name, value in options.items() if isinstance(value, dict)}
    return [part for name, values in nested.items() for part in (page.heading(f"Options: {name}"), page.facts(values))]


def _charts(job: Job, outcome: Outcome) -> list[Markup]:
    (section,) = sections_of(_results(job, outcome))
    try:
        drawn: list[Chart | None] = [against_parameters(section), neurons_by_site(section), _progress(job, outcome)]
    except MissingExtra as error:
        return [page.paragraph(f"No figures: {error}.")]
    return [page.chart(chart) for chart in drawn if chart]


def _results(job: Job, outcome: Outcome) -> list[Result]:
    options = outcome.options
    arena = Arena(job.prepared.name, 0, options.fit.epochs, f"seed {options.seed}", "run")
    return [
        Result(
            arena=arena,
            method="MiMi",
            seed=options.seed,
            cycle=result.cycle,
            epochs=options.epochs_before(min(result.cycle + 1, options.cycles)),
            validation=result.validation,
            test=result.test,
            own_params=result.adapter_parameters,
            head_params=result.head_parameters,
            gflops=result.flops / 1e9,
            widths=result.widths,
        )
        for result in outcome.results
    ]


def _progress(job: Job, outcome: Outcome) -> Chart | None:
    """Validation by epoch at the chosen rate; None if nothing was logged."""
    fit = outcome.options.fit
    lines = progress_rows(job.folder / PROGRESS)
    curve = {
        outcome.options.epochs_before(line["cycle"]) + line["epoch"] + 1: line["validation"]
        for line in lines
        if line["rate"] in (None, fit.learning_rate) and line["validation"] is not None
    }
    caption = "Validation accuracy after every epoch. A cycle begins at lines."
    restarts = [outcome.options.epochs_before(cycle) for cycle in range(1, outcome.options.cycles)]
    return curve_chart({"MiMi": dict(sorted(curve.items()))}, restarts, caption) if curve else None
