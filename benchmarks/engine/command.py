"""The command: measure and write the JSON, or read one back as a table and as figures."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import quiet
from benchmarks.engine import bare, cuda, latency, libraries, precisions, sharing
from benchmarks.engine.bench import PEERS, SETTINGS, Bench, Found
from benchmarks.engine.material import make
from benchmarks.engine.pipe import WorkerError
from benchmarks.engine.report import EXPERIMENTS, GOALS, draw, table
from benchmarks.measure import UnequalError, context, write_json

PACKAGES = ("torch", "timm", "numpy")
ROUNDS, QUICK_ROUNDS, LEAST_ROUNDS = 25, 6, 15
OK, WRONG, REFUSED = 0, 1, 2
MEASURES: dict[str, Callable[[Bench, Found], None]] = {
    "bare": bare.measure_bare,
    "adapters": sharing.measure_adapters,
    "mixed": sharing.measure_mixed,
    "fanout": sharing.measure_fanout,
    "peft": libraries.measure_peft,
    "swap": latency.measure_swap,
    "start": latency.measure_start,
    "cuda": cuda.measure_cuda,
    "precisions": precisions.measure_precisions,
    "batch1": precisions.measure_batch1,
    "losses": precisions.measure_losses,
    "adapterhub": libraries.measure_adapterhub,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.engine", description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--json", type=Path, help="measure, and write this file")
    what.add_argument("--report", type=Path, help="print the table of a file that was written")
    parser.add_argument("--figures", type=Path, help="folder for a figure a claim (SVG; needs the extra `reports`)")
    parser.add_argument("--quick", action="store_true", help="small networks and few rounds: shows that all works")
    parser.add_argument("--force", action="store_true", help="measure even on a loaded machine")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, help="these experiments (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="of every system (default: 2)")
    parser.add_argument("--data", type=Path, help="data sets of the bundled tasks, to see what lower precision costs")
    parser.add_argument("--rounds", type=int, help=f"interleaved, at least {LEAST_ROUNDS} (default: {ROUNDS})")
    parser.add_argument(
        "--peer-python", action="append", default=[], type=_assignment, metavar="NAME=PATH", help="a peer's interpreter"
    )
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = QUICK_ROUNDS if options.quick else ROUNDS
    elif options.rounds < LEAST_ROUNDS and not options.quick:
        parser.error(f"--rounds must be at least {LEAST_ROUNDS}")
    return options


def _assignment(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if name not in PEERS or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(PEERS)}, =, and an interpreter")
    return name, path


def run(options: argparse.Namespace) -> tuple[dict[str, object], Found]:
    """Everything measured, as JSON values."""
    found, chosen, where = Found(), options.only or EXPERIMENTS, context(PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), quick=options.quick)
        pythons = dict(options.peer_python)
        bench = Bench(Path(folder), options.rounds, options.threads, options.quick, pythons, options.data)
        for name in chosen:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            try:
                MEASURES[name](bench, found)
            except (UnequalError, WorkerError) as error:
                found.wrong.append(f"{name}: {error}")
    return {**result_of(options, found), **where}, found  # the load average is that of the beginning


def result_of(options: argparse.Namespace, found: Found) -> dict[str, object]:
    """The flat keys, and beside them the circumstances of the run."""
    figures = {goal.key: found.estimates[goal.key].median if goal.key in found.estimates else None for goal in GOALS}
    left = "this experiment was not chosen (--only)"
    failed = {
        goal.key: "it failed; see `wrong`" if goal.experiment in (options.only or EXPERIMENTS) else left
        for goal in GOALS
    }
    reasons = {key: found.reasons.get(key, failed[key]) for key, value in figures.items() if value is None}
    return {
        "benchmark": "engine",
        **figures,
        "quick": options.quick,
        "forced": options.force,
        "rounds": options.rounds,
        "threads": options.threads,
        **context(PACKAGES),
        "goals": {goal.key: {"limit": goal.limit, "most": goal.most, "unit": goal.unit} for goal in GOALS},
        "intervals": {key: asdict(estimate) for key, estimate in found.estimates.items()},
        "reasons": reasons,
        "settings": {name: dict(values) for name, values in SETTINGS.items()},
        "peers": found.peers,
        "wrong": found.wrong,
        "details": found.details,
    }


def main(arguments: Sequence[str]) -> int:
    """Measure or report; 1 where a system failed or computed something else, 2 where the machine is not quiet."""
    options = parse(arguments)
    if options.report:
        return show(json.loads(options.report.read_text(encoding="utf-8")), options.figures)
    try:
        quiet.check()
    except quiet.LoadedError as error:
        print(f"{'measuring all the same' if options.force else 'refusing to measure'}: {error}", file=sys.stderr)
        if not options.force:
            return REFUSED
    result, found = run(options)
    write_json(options.json, result)
    show(result, options.figures)
    print("\n".join(f"WRONG: {what}" for what in found.wrong), file=sys.stderr)
    return WRONG if found.wrong else OK


def show(result: Mapping[str, object], figures: Path | None) -> int:
    """Print the table; draw where a folder is given."""
    print(table(result))
    if figures:
        figures.mkdir(parents=True, exist_ok=True)
        draw(result, figures)
    return OK
