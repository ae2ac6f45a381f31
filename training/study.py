"""The comparison of docs/results.md: linear probe, vanilla adapters and MiMi at equal budgets, over several seeds.

    python -m training.study DATA --runs docs/results/gtsrb.jsonl --work DIR

One JSON line per finished figure; a study started again goes on where it stopped, and several processes may work on
the same one (each claims a seed and method by a lock file in the work folder).
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from backbone import Backbone, flops_of, load_backbone
from training.baselines import Vanilla, train_linear_probe, train_vanilla
from training.data import load_data
from training.fit import evaluate
from training.mimi import Job, train_mimi
from training.model import AdaptedModel
from training.options import FitOptions, MiMiOptions
from training.pixels import PixelSet
from training.prepare import Prepared, prepare
from training.progress import Console

RATES = (1e-3, 2e-3, 5e-3)


@dataclass(frozen=True, slots=True)
class Study:
    """What is compared.

    Attributes:
        data: specification of the data set.
        options: of MiMi; its fit is everybody's.
        per_class: training images of a class, 0 for all.
        work: checkpoints, locks and chosen rates.
        runs: the JSON lines.
    """

    data: str
    options: MiMiOptions
    per_class: int
    work: Path
    runs: Path


Row = dict[str, object]


def main() -> None:
    """Parse the command line and work until nothing is left to claim."""
    study, seeds = _parse()
    study.work.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone()
    for seed in seeds:
        prepared = few(study, seed, backbone)
        for name, train in methods(study).items():
            if not _claim(study.work / f"{name}-seed{seed}.lock"):
                continue
            print(f"{name}, seed {seed}", flush=True)
            for row in train(replace_seed(study, seed), prepared, backbone):
                _append(study, {"method": name, "dataset": prepared.name, "seed": seed, **row})


Train = Callable[[Study, Prepared, Backbone], Iterator[Row]]


def methods(study: Study) -> dict[str, Train]:
    """Name and training of every method, the ones that decide most first."""
    smaller = {f"vanilla-after-{k}": _vanilla_at(k) for k in range(1, study.options.cycles)}
    return {"linear": _linear, "mimi": _mimi, "vanilla": _vanilla_at(0), **smaller}


def _linear(study: Study, prepared: Prepared, backbone: Backbone) -> Iterator[Row]:
    started = time.monotonic()
    model, validation, penalty = train_linear_probe(prepared, backbone)
    row = {"cycle": 0, "epochs": 0, "learning_rate": 0.0, "penalty": penalty, "val_top1": validation}
    yield {**row, **_measure(model, prepared), "seconds": time.monotonic() - started}


def _mimi(study: Study, prepared: Prepared, backbone: Backbone) -> Iterator[Row]:
    started, rate = time.monotonic(), _chosen_rate(study, 0, backbone)
    options = replace(study.options, fit=replace(study.options.fit, learning_rate=rate))
    folder = study.work / f"mimi-seed{options.seed}"
    outcome = train_mimi(Job(prepared, backbone, options, folder, Console()))
    for report in outcome.reports:
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


def _vanilla_at(prunings: int) -> Train:
    """Vanilla adapters at the size MiMi has after `prunings` prunings; at 0 every budget is reported."""

    def train(study: Study, prepared: Prepared, backbone: Backbone) -> Iterator[Row]:
        started, rate = time.monotonic(), _chosen_rate(study, prunings, backbone)
        cycles = prunings + 1 if prunings else study.options.cycles
        fit = replace(study.options.fit, learning_rate=rate)
        vanilla = Vanilla(widths_at(study.options, prunings, backbone), cycles, fit, study.options.seed)
        for cycle, (model, validation) in enumerate(train_vanilla(vanilla, prepared, backbone, Console())):
            if prunings and cycle < prunings:
                continue
            row = {"cycle": cycle, "epochs": (cycle + 1) * fit.epochs, "learning_rate": rate, "val_top1": validation}
            yield {**row, **_measure(model, prepared), "seconds": time.monotonic() - started}

    return train


def widths_at(options: MiMiOptions, prunings: int, backbone: Backbone) -> tuple[int, ...]:
    """Widths in proportion to the channels, at the compression MiMi has after `prunings` prunings."""
    sigma = options.initial_sigma / (1 - options.pruning_fraction) ** prunings
    grown = replace(options, initial_sigma=sigma, target_sigma=max(sigma, options.target_sigma))
    return grown.initial_widths(tuple(site.dim for site in backbone.sites))


def _chosen_rate(study: Study, prunings: int, backbone: Backbone) -> float:
    """The rate that is best on validation after one cycle at this size, on seed 0; kept for the other seeds."""
    path = study.work / f"rate-{prunings}.json"
    if not path.exists():
        prepared = few(study, 0, backbone)
        scores = {rate: _first_cycle(study, prunings, rate, (prepared, backbone)) for rate in RATES}
        path.write_text(json.dumps({f"{rate:g}": score for rate, score in scores.items()}))
    scores_by_name: dict[str, float] = json.loads(path.read_text())
    return float(max(scores_by_name, key=scores_by_name.__getitem__))


def _first_cycle(study: Study, prunings: int, rate: float, on: tuple[Prepared, Backbone]) -> float:
    """Validation top-1 of one cycle on seed 0."""
    fit = replace(study.options.fit, learning_rate=rate)
    vanilla = Vanilla(widths_at(study.options, prunings, on[1]), 1, fit, 0)
    return next(train_vanilla(vanilla, *on, Console()))[1]


def few(study: Study, seed: int, backbone: Backbone) -> Prepared:
    """The data set with at most `per_class` training images of a class, drawn by the seed."""
    options = study.options
    prepared = prepare(load_data(study.data), backbone.preprocessing, validation=options.validation, seed=seed)
    if not study.per_class:
        return prepared
    order = np.random.default_rng(seed).permutation(len(prepared.train))
    targets = prepared.train.targets.numpy()[order]
    rows = np.concatenate([order[targets == label][: study.per_class] for label in range(len(prepared.labels))])
    kept = torch.from_numpy(rows)
    return replace(prepared, train=PixelSet(prepared.train.pixels[kept], prepared.train.targets[kept]))


def _measure(model: AdaptedModel, prepared: Prepared) -> Row:
    """What a row says of a model: test accuracy, size, cost."""
    named = model.task_parameters()
    head = sum(parameter.numel() for name, parameter in named.items() if name.startswith("head."))
    live = list(model.live)
    return {
        "test_top1": evaluate(model, prepared.test) if prepared.test else None,
        "neurons": sum(model.widths),
        "live_sites": len(live),
        "widths": model.widths,
        "adapter_params": sum(parameter.numel() for parameter in named.values()) - head,
        "head_params": head,
        "gflops": flops_of(model.backbone, model.widths, len(prepared.labels)) / 1e9,
        "first_live_site": live[0] if live else None,
    }


def replace_seed(study: Study, seed: int) -> Study:
    """The study with MiMi's options at one seed."""
    return replace(study, options=replace(study.options, seed=seed))


def _claim(lock: Path) -> bool:
    """True for the one process that creates the lock file."""
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _append(study: Study, row: Row) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    device = f"CPU, {torch.get_num_threads()} thread(s)"
    per_class = study.per_class or None
    line = {**row, "per_class": per_class, "purpose": "study", "commit": commit.stdout.strip(), "device": device}
    study.runs.parent.mkdir(parents=True, exist_ok=True)
    with study.runs.open("a", encoding="utf-8") as file:  # one write of one line: appends of two processes do not mix
        file.write(json.dumps(line) + "\n")


def _parse() -> tuple[Study, list[int]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set as `mimi train` takes it")
    parser.add_argument("--runs", type=Path, required=True, help="JSON lines to append to")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, locks and chosen rates")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5, help="of one cycle")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--per-class", type=int, default=0, help="training images of a class; 0: all")
    parser.add_argument("--no-flip", action="store_true", help="classes that a mirror changes, such as road signs")
    given = parser.parse_args()
    fit = FitOptions(
        epochs=given.epochs,
        warmup_epochs=0.5,
        batch_size=given.batch_size,
        reference_batch=None,
        flip=not given.no_flip,
    )
    return Study(given.data, MiMiOptions(fit=fit), given.per_class, given.work, given.runs), given.seeds


if __name__ == "__main__":
    main()
