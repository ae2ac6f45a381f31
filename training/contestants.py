"""The contestants of the study: each trains at one seed and yields a row per finished figure.

A row is plain JSON: budget, learning rate, accuracy on validation and test, size and cost.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from backbone import Backbone, flops_of
from training.baselines import Vanilla, train_linear_probe, train_vanilla
from training.fit import evaluate
from training.mimi import Job, train_mimi
from training.model import AdaptedModel
from training.options import FitOptions, MiMiOptions
from training.prepare import Prepared
from training.progress import Console

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Arena:
    """Where the contestants meet.

    Attributes:
        backbone: frozen.
        options: MiMi's; its fit is everybody's, its seed this round's.
        rates: learning rates to choose from, for each contestant.
        work: checkpoints and chosen rates.
        prepare: the data set at a seed.
    """

    backbone: Backbone
    options: MiMiOptions
    rates: tuple[float, ...]
    work: Path
    prepare: Callable[[int], Prepared]


Contestant = Callable[[Arena, Prepared], Iterator[Row]]


def contestants(options: MiMiOptions) -> dict[str, Contestant]:
    """Every contestant by name, those that decide most first."""
    smaller = {f"vanilla-after-{k}": vanilla_at(k) for k in range(1, options.cycles)}
    return {"linear": linear, "mimi": mimi, "vanilla": vanilla_at(0), **smaller}


def linear(arena: Arena, prepared: Prepared) -> Iterator[Row]:
    """The linear probe."""
    started = time.monotonic()
    model, validation, penalty = train_linear_probe(prepared, arena.backbone)
    row: Row = {"cycle": 0, "epochs": 0, "learning_rate": None, "penalty": penalty, "val_top1": validation}
    yield {**row, **_measure(model, prepared), "seconds": time.monotonic() - started}


def mimi(arena: Arena, prepared: Prepared) -> Iterator[Row]:
    """MiMi: a row after every cycle. Its first cycle is vanilla training, so it takes that rate."""
    started, rate = time.monotonic(), chosen_rate(arena, 0)
    options = replace(arena.options, fit=_at(arena.options.fit, rate))
    folder = arena.work / f"mimi-seed{options.seed}"
    for report in train_mimi(Job(prepared, arena.backbone, options, folder, Console())).reports:
        yield {
            "cycle": report.cycle,
            "epochs": (report.cycle + 1) * options.fit.epochs,
            "learning_rate": rate,
            "val_top1": report.validation,
            "test_top1": report.test,
            "neurons": report.neurons,
            "live_sites": len(report.live_sites),
            "widths": report.widths,
            "adapter_params": report.adapter_parameters,
            "head_params": report.head_parameters,
            "gflops": report.flops / 1e9,
            "first_live_site": report.first_live_site,
            "rank_correlation": report.rank_correlation,
            "seconds": time.monotonic() - started,
        }


def vanilla_at(prunings: int) -> Contestant:
    """Vanilla adapters at the size MiMi has after `prunings` prunings.

    At the initial size every budget is reported; at the others the one that MiMi had when it reached the size.
    """

    def train(arena: Arena, prepared: Prepared) -> Iterator[Row]:
        started, rate = time.monotonic(), chosen_rate(arena, prunings)
        cycles = prunings + 1 if prunings else arena.options.cycles
        fit = _at(arena.options.fit, rate)
        vanilla = Vanilla(widths_at(arena, prunings), cycles, fit, arena.options.seed)
        for cycle, (model, validation) in enumerate(train_vanilla(vanilla, prepared, arena.backbone, Console())):
            if cycle < prunings:
                continue
            epochs = (cycle + 1) * fit.epochs
            row: Row = {"cycle": cycle, "epochs": epochs, "learning_rate": rate, "val_top1": validation}
            yield {**row, **_measure(model, prepared), "seconds": time.monotonic() - started}

    return train


def widths_at(arena: Arena, prunings: int) -> tuple[int, ...]:
    """Widths in proportion to the channels, at the compression MiMi has after `prunings` prunings."""
    options = arena.options
    sigma = options.initial_sigma / (1 - options.pruning_fraction) ** prunings
    at = replace(options, initial_sigma=sigma, target_sigma=max(sigma, options.target_sigma))
    return at.initial_widths(tuple(site.dim for site in arena.backbone.sites))


def chosen_rate(arena: Arena, prunings: int) -> float:
    """The rate that is best on validation after one cycle at this size, on seed 0; kept for the other seeds."""
    path = arena.work / f"rates-{prunings}.json"
    if not path.exists():
        prepared = arena.prepare(0)
        scores = {f"{rate:g}": _first_cycle(arena, prunings, rate, prepared) for rate in arena.rates}
        path.write_text(json.dumps(scores))
    found: dict[str, float] = json.loads(path.read_text())
    return float(max(found, key=found.__getitem__))


def _first_cycle(arena: Arena, prunings: int, rate: float, prepared: Prepared) -> float:
    """Validation top-1 after one cycle."""
    vanilla = Vanilla(widths_at(arena, prunings), 1, _at(arena.options.fit, rate), 0)
    return next(train_vanilla(vanilla, prepared, arena.backbone, Console()))[1]


def _at(fit: FitOptions, rate: float) -> FitOptions:
    return replace(fit, learning_rate=rate)


def _measure(model: AdaptedModel, prepared: Prepared) -> Row:
    """What a row says of a model: test accuracy, size, cost."""
    adapters, head = model.parameter_counts()
    live = list(model.live)
    return {
        "test_top1": evaluate(model, prepared.test) if prepared.test else None,
        "neurons": sum(model.widths),
        "live_sites": len(live),
        "widths": model.widths,
        "adapter_params": adapters,
        "head_params": head,
        "gflops": flops_of(model.backbone, model.widths, len(prepared.labels)) / 1e9,
        "first_live_site": live[0] if live else None,
    }
