"""`mimi compare CONFIG`: methods against each other at equal budgets."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.compare.config import Config
    from training.compare.matrix import Entry

HELP = "compare methods at equal budgets, from one TOML file; a second start continues the first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; the file holds everything else, see docs/compare.md."""
    parser.add_argument("config", type=Path, help="a TOML file: methods, data sets, seeds, budget")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the data sets lie under [here]")
    parser.add_argument("--only", nargs="+", metavar="METHOD", default=[], help="do these methods of the file alone")
    parser.add_argument("--dry-run", action="store_true", help="list finished and open cells, and train nothing")
    parser.add_argument("--device", help="cpu or cuda [cuda where there is one]")


def run(options: argparse.Namespace) -> int:
    """Work until nothing is left to claim; 1 if a training diverged."""
    from functools import lru_cache

    from backbone import BUNDLED, load_backbone
    from mimi.devices import chosen_device
    from training.compare.catalogue import catalogue, flops
    from training.compare.config import DataConfig, read_config
    from training.compare.matrix import entries_of
    from training.compare.runner import Runner, load, made_by
    from training.prepare import Prepared

    config = read_config(options.config)
    weights = options.data / config.weights if config.weights else None
    backbone = load_backbone(config.backbone or BUNDLED, weights=weights)
    entries = entries_of(config, catalogue(len(backbone.sites)), only=options.only)
    if options.dry_run:
        print(_plan(config, entries))
        return 0
    device = chosen_device(options.device)

    @lru_cache(2)  # the cells of a seed follow each other, and choosing a rate needs another seed's images
    def prepared(data: DataConfig, seed: int) -> Prepared:
        found = load(data, options.data, backbone.preprocessing, validation=config.validation, seed=seed)
        return found.to(device)

    runner = Runner(config, entries, backbone.to(device), prepared, flops, made_by(device))
    return 0 if runner.work() else 1


def _plan(config: "Config", entries: "tuple[Entry, ...]") -> str:
    """Every cell, and whether it is finished."""
    from mimi.table import Column, format_table
    from training.compare.matrix import cells_of
    from training.compare.runner import finished

    done = finished(config.runs)
    columns = [Column(title) for title in ("data set", "seed", "method", "epochs", "learning rates", "state")]
    rows = [
        (
            cell.data.name,
            cell.seed,
            cell.entry.method.label,
            cell.data.fit.epochs * config.cycles if cell.entry.rates else None,
            " ".join(f"{rate:g}" for rate in cell.entry.rates),
            "done" if cell.key in done else "to do",
        )
        for cell in cells_of(config, entries)
    ]
    left = sum(row[-1] == "to do" for row in rows)
    return f"{format_table(columns, rows)}\n{left} of {len(rows)} to do; rows go to {config.runs}"
