"""`mimi compare CONFIG` and `mimi report ROWS...`: from one file to rows, and from rows to tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimi.parameters import Json
from mimi.terminal import Cell, Column, format_table, print_json, working
from training.options import CompareRequest

if TYPE_CHECKING:
    from training.compare.command import BackbonePlan
    from training.compare.plan import Planned
    from training.jsonl import Row

_HOUR = 3600.0
_ADAPTER = ".safetensors"


def compare(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="a TOML file: methods, data sets, seeds, budget")],
    request: Annotated[CompareRequest, "Options"],
    json: Json = False,
) -> int:
    """Compare methods at equal budgets, from one TOML file; 1 if a training has no result.

    A second start continues the first, and several processes may share the work. `--dry-run` and `--plan` print what
    there is to do. Without this command's packages, `python -m training compare` does the same.
    """
    from training.compare.command import cells, plans, work

    if request.plan:
        with working("measuring") as say:
            found = list(plans(config, request, say))
        _print_plan(found, request, json=json)
        return 0
    if request.dry_run:
        _print_cells(cells(config, request), json=json)
        return 0
    complete = work(config, request)
    if json:
        print_json({"complete": complete, "cells": cells(config, request)})
    return 0 if complete else 1


def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="ROWS", help=f"rows as `mimi compare` writes them, or FILE{_ADAPTER}")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder to write into")],
    work: Annotated[
        Path | None,
        typer.Option("--work", metavar="DIR", help="the comparison's work folder, for validation accuracy by epoch"),
    ] = None,
    json: Json = False,
) -> int:
    """Write tables, figures and a page from rows of a comparison; from adapters, where their neurons sit."""
    from mimi.files import read_file
    from training.report.comparison import write_comparison
    from training.report.sites import write_allocation

    adapters = [path for path in files if path.suffix == _ADAPTER]
    rows = [path for path in files if path not in adapters]
    with working("drawing"):
        written = write_comparison(rows, out, work=work) if rows else []
        written += write_allocation({path.stem: read_file(path) for path in adapters}, out) if adapters else []
    if json:
        print_json([str(path) for path in written])
    else:
        print(f"{written[0]} and {len(written) - 1} files beside it")
    return 0


def _print_cells(rows: "Sequence[Row]", *, json: bool) -> None:
    """Every cell, and whether it is finished."""
    if json:
        print_json(list(rows))
        return
    columns = [Column(title) for title in ("data set", "seed", "method", "epochs", "learning rates", "state")]
    lines: list[list[Cell]] = [
        [
            row["dataset"],
            row["seed"],
            row["method"],
            row["epochs"],
            " ".join(f"{rate:g}" for rate in row["rates"]),
            "done" if row["done"] else "to do",
        ]
        for row in rows
    ]
    left = sum(not row["done"] for row in rows)
    places = ", ".join(sorted({str(row["runs"]) for row in rows}))
    print(f"{format_table(columns, lines)}\n{left} of {len(rows)} to do; rows go to {places}")


def _print_plan(parts: "Sequence[BackbonePlan]", request: CompareRequest, *, json: bool) -> None:
    """Print the planned trainings of every backbone, their cost, and missing data."""
    from training.compare.command import device_name

    device, complete = device_name(request), all(part.complete for part in parts)
    seconds = sum(part.seconds for part in parts)
    if json:
        plans = [
            {"backbone": part.backbone, "methods": _methods(part.cells), "missing": part.missing} for part in parts
        ]
        print_json({"device": device, "seconds": seconds, "seconds_complete": complete, "backbones": plans})
        return
    for part in parts:
        print(f"{part.backbone}\n{_hours(_methods(part.cells))}\n")
        print("".join(f"missing: {missing}\n" for missing in part.missing), end="")
    at_least = "" if complete else "at least "
    print(f"total: {at_least}{seconds / _HOUR:,.1f} hours on one device, {device}, grids not extended")


def _methods(planned: "Sequence[Planned]") -> list[dict[str, Any]]:
    """A row for each method on each data set, over its seeds."""
    together: dict[tuple[str, str], list[Planned]] = {}
    for each in planned:
        together.setdefault((each.cell.data.name, each.cell.entry.method.label), []).append(each)
    rows = []
    for (data, method), cells in together.items():
        known = [cell.seconds for cell in cells if cell.seconds is not None]
        row: dict[str, Any] = {"dataset": data, "method": method, "cells": len(cells), "refused": cells[0].refused}
        row["to_do"] = 0 if cells[0].refused else sum(not cell.done for cell in cells)
        row["seconds"] = sum(known) if len(known) == len(cells) and not cells[0].refused else None
        rows.append(row)
    return rows


def _hours(methods: Sequence[dict[str, Any]]) -> str:
    columns = [Column("data set"), Column("method"), Column("cells"), Column("to do"), Column("hours", ",.2f")]
    rows: list[list[Cell]] = []
    for row in methods:
        cannot = f" cannot run: {row['refused']}" if row["refused"] else ""
        hours = None if row["seconds"] is None else row["seconds"] / _HOUR
        rows.append([row["dataset"], row["method"] + cannot, row["cells"], row["to_do"], hours])
    return format_table(columns, rows)
