"""`mimi compare CONFIG`: methods against each other at equal budgets."""

import argparse
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backbone import Preprocessing
    from training.compare.config import Config, DataConfig
    from training.compare.matrix import Entry
    from training.compare.plan import Planned
    from training.prepare import Prepared

_HOUR = 3600.0

HELP = "compare methods at equal budgets, from one TOML file; a second start continues the first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; the file holds everything else, see docs/compare.md."""
    parser.add_argument("config", type=Path, help="a TOML file: methods, data sets, seeds, budget")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the data sets lie under [here]")
    parser.add_argument("--only", nargs="+", metavar="METHOD", default=[], help="do these methods of the file alone")
    parser.add_argument("--dry-run", action="store_true", help="list finished and open cells, and train nothing")
    parser.add_argument(
        "--plan", action="store_true", help="print what would train, its cost, and what data is missing"
    )
    parser.add_argument("--device", help="cpu or cuda [cuda where there is one]")


def run(options: argparse.Namespace) -> int:
    """Work until nothing is left to claim; 1 if a training diverged."""
    from backbone import BUNDLED, load_backbone
    from mimi.devices import chosen_device
    from training.compare.catalogue import catalogue, flops
    from training.compare.config import read_config
    from training.compare.matrix import entries_of
    from training.compare.runner import Runner, made_by

    if options.plan:
        return _tell_plan(options)
    every = True
    for config in read_config(options.config).of_one_backbone:
        weights = options.data / config.weights if config.weights else None
        backbone = load_backbone(config.backbone or BUNDLED, weights=weights)
        entries = entries_of(config, catalogue(len(backbone.sites)), only=options.only)
        if options.dry_run:
            print(_cells(config, entries))
            continue
        device = chosen_device(options.device)
        load_here = _loading(options.data, config, backbone.preprocessing, device)
        every &= Runner(config, entries, backbone.to(device), load_here, flops, made_by(device)).work()
    return 0 if every else 1


def _loading(
    root: Path, config: "Config", preprocessing: "Preprocessing", device: str
) -> "Callable[[DataConfig, int], Prepared]":
    from training.compare.runner import load

    @lru_cache(2)  # the cells of a seed follow each other, and choosing a rate needs another seed's images
    def prepared(data: "DataConfig", seed: int) -> "Prepared":
        return load(data, root, preprocessing, validation=config.validation, seed=seed).to(device)

    return prepared


def _tell_plan(options: argparse.Namespace) -> int:
    """What would train on every backbone, what that costs, and what is missing."""
    from backbone import BUNDLED, load_backbone
    from mimi.devices import chosen_device
    from training.compare.catalogue import catalogue
    from training.compare.config import read_config
    from training.compare.matrix import entries_of
    from training.compare.plan import plan, size_of

    device, total, unknown = chosen_device(options.device), 0.0, False
    for config in read_config(options.config).of_one_backbone:
        backbone = load_backbone(config.backbone or BUNDLED, pretrained=False).to(device)
        entries = entries_of(config, catalogue(len(backbone.sites)), only=options.only)
        sizes = {data.name: size_of(data, options.data, config.validation) for data in config.data}
        planned = list(plan(config, entries, backbone, sizes))
        print(f"{backbone.name}\n{_hours(planned)}\n")
        if config.weights and not (options.data / config.weights).is_file():
            print(f"missing: weights {options.data / config.weights}")
        for name, size in sizes.items():
            if size.missing:
                print(f"missing: {name}: {size.missing}")
        total += sum(each.seconds or 0.0 for each in planned)
        unknown |= any(each.seconds is None for each in planned)
    at_least = "at least " if unknown else ""
    print(f"total: {at_least}{total / _HOUR:,.1f} hours on one device, {_named(device)}, grids not extended")
    return 0


def _hours(planned: "Sequence[Planned]") -> str:
    """A line for each method on each data set, over its seeds."""
    from mimi.table import Cell, Column, format_table

    columns = [Column("data set"), Column("method"), Column("cells"), Column("to do"), Column("hours", ",.2f")]
    together: dict[tuple[str, str], list[Planned]] = {}
    for each in planned:
        together.setdefault((each.cell.data.name, each.cell.entry.method.label), []).append(each)
    rows: list[tuple[Cell, ...]] = []
    for (data, method), cells in together.items():
        if cells[0].refused:
            rows.append((data, f"{method} cannot run: {cells[0].refused}", len(cells), 0, None))
            continue
        known = [cell.seconds for cell in cells if cell.seconds is not None]
        hours = sum(known) / _HOUR if len(known) == len(cells) else None
        rows.append((data, method, len(cells), sum(not cell.done for cell in cells), hours))
    return format_table(columns, rows)


def _named(device: str) -> str:
    from training.compare.runner import made_by

    return str(made_by(device)["device"])


def _cells(config: "Config", entries: "tuple[Entry, ...]") -> str:
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
