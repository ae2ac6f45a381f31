"""HTTP serving, measured from outside: ours against other servers of the same model, and against the engine alone.

Every server is a process of its own, gets the same images, model, batch limit and threads, and must give the same
answers before anything is timed. Rounds take the servers in turn, each started anew.

    python -m benchmarks serving --json serving.json --peer-python litserve=PYTHON
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import context, write_json
from benchmarks.serving import rounds, scene
from benchmarks.serving.asking import STYLES
from benchmarks.serving.checking import WrongAnswer
from benchmarks.serving.headlines import headlines
from benchmarks.serving.peers.absence import missing
from benchmarks.serving.rounds import Length, Stage, TooSlow
from benchmarks.serving.servers import NotStarted, Plan

PACKAGES = ("torch", "timm", "pillow", "uvicorn", "uvloop", "fastapi", "starlette", "h11")
PEERS = [name for name in STYLES if name != "ours"]
_FAULTS = (NotStarted, TooSlow, WrongAnswer, OSError, RuntimeError, ValueError, LookupError)
BUSY = 0.3  # load average, a core, from which on a machine is not quiet
_LENGTHS = {"bundled": Length(12.0, 3.0), "swin_t": Length(40.0, 6.0)}
_QUICK = {"bundled": Length(5.0, 2.0), "swin_t": Length(12.0, 4.0)}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--quick", action="store_true", help="one round of short loads: shows that it works, no more")
    parser.add_argument("--force", action="store_true", help="measure on a machine that has other work, too")
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is measured (default: 3)")
    parser.add_argument("--batch", type=int, default=16, help="most images of a batch, for every server (default: 16)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of a forward pass (default: every core)")
    parser.add_argument("--backbone", nargs="+", default=list(scene.BACKBONES), choices=list(scene.BACKBONES))
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS, help="servers beside ours (default: all)")
    parser.add_argument(
        "--peer-python", action="append", default=[], type=_named, metavar="NAME=PYTHON",
        help="the Python that has a peer installed, where it is not this one; once for each peer",
    )  # fmt: skip
    return parser.parse_args(arguments)


def _named(text: str) -> tuple[str, str]:
    name, found, python = text.partition("=")
    if not found or name not in PEERS:
        raise argparse.ArgumentTypeError(f"give NAME=PYTHON with a name of {', '.join(PEERS)}")
    return name, python


def refuse_if_busy() -> None:
    """Raise SystemExit where other work would be measured as well."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > BUSY * cores:
        raise SystemExit(
            f"the load is {load:.1f} on {cores} cores: figures would mean nothing (--force measures anyway)"
        )


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values."""
    pythons = dict.fromkeys(["ours", *options.peers], sys.executable) | dict(options.peer_python)
    versions, absent = missing({name: pythons[name] for name in options.peers})
    servers = {name: pythons[name] for name in ["ours", *versions]}
    measured = {name: _backbone(name, servers, options, absent) for name in options.backbone}
    return {
        "benchmark": "serving",
        "quick": options.quick,
        **headlines(measured),
        **context(PACKAGES),
        "peers": versions,
        "absent": absent,
        "settings": {"batch": options.batch, "threads": options.threads, "clients": rounds.CLIENTS},
        "lengths": {name: asdict(_length(name, options)) for name in options.backbone},
        "rounds": measured,
    }


def _length(backbone: str, options: argparse.Namespace) -> Length:
    return (_QUICK if options.quick else _LENGTHS)[backbone]


def _backbone(
    backbone: str, servers: Mapping[str, str], options: argparse.Namespace, absent: dict[str, str]
) -> list[dict[str, Any]]:
    """All rounds over one backbone."""
    with tempfile.TemporaryDirectory() as folder:
        made = scene.make(scene.BACKBONES[backbone], Path(folder))
        stage = Stage(made, Plan(options.batch, options.threads), _length(backbone, options))
        count = 1 if options.quick else options.rounds
        return [_round(number, stage, servers, absent) for number in range(count)]


def _round(number: int, stage: Stage, servers: Mapping[str, str], absent: dict[str, str]) -> dict[str, Any]:
    """Everyone once, another one first each time; a peer that fails is absent from then on, with its reason."""
    names, told = ["alone", *(name for name in servers if name not in absent)], {}
    first = number % len(names)
    for name in names[first:] + names[:first]:
        print(f"{stage.scene.backbone}, round {number + 1}: {name}", file=sys.stderr, flush=True)
        try:
            told[name] = rounds.of_server(name, stage, python=servers[name]) if name in servers else rounds.alone(stage)
        except _FAULTS as error:  # of a peer: the others are still to be measured
            if name == "ours":
                raise
            absent[name] = f"{type(error).__name__}: {error}"
    return told


def report(result: Mapping[str, Any]) -> str:
    """The headlines and what each server gave, as a table."""
    lines = [f"{key:22} {it['median']:.3f} ({it['lowest']:.3f} … {it['highest']:.3f})" if it else f"{key:22} -"
             for key, it in result["spreads"].items()]  # fmt: skip
    for backbone, measured in result["rounds"].items():
        lines.append(f"{backbone}: answers a second at saturation; p50 / p95 / p99 in ms at 30, 60, 90, 200 % of that")
        for name, told in measured[-1].items():
            if name != "alone":
                loads = ["{p50_ms:.0f}/{p95_ms:.0f}/{p99_ms:.0f}".format(**it) for it in told["open"].values()]
                lines.append(f"  {name:9} {told['closed']['per_second']:7.1f}   {'  '.join(loads)}")
    return "\n".join([*lines, *(f"absent: {name}: {reason}" for name, reason in result["absent"].items())])


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else a server would be left running
    if not options.force:
        refuse_if_busy()
    result = run(options)
    write_json(options.json, result)
    print(report(result))
    return 0
