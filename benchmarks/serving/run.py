"""HTTP serving, measured from outside: our server against others with the same model, and against the engine alone.

Every server is a process of its own with the same images, model, batch limit and threads. It must give the same answers
before anything is timed. Rounds take the servers in turn, each started anew.

    python -m benchmarks serving --json serving.json --peer-python litserve=PYTHON
One round: each server is started anew, checked, saturated, and loaded to shares of its own capacity. Nothing else of
ours runs meanwhile: a server that only waits may take cores as well.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.measure import context, write_json
from benchmarks.serving import load, scene
from benchmarks.serving.asking import STYLES, WrongAnswer, check, ours, request
from benchmarks.serving.figures import headlines
from benchmarks.serving.scene import Scene
from benchmarks.serving.servers import ROOT, NotStarted, Plan, Running, environment, running

CLIENTS = 32
SHARES = (30, 60, 90, 200)  # percent of a server's own capacity

Figures = dict[str, Any]


class TooSlow(Exception):
    """A load had so few answers that they give no figure."""


@dataclass(frozen=True, slots=True)
class Length:
    """Seconds of a load that count, and seconds of warm-up before."""

    seconds: float
    warmup: float


@dataclass(frozen=True, slots=True)
class Stage:
    """The surroundings of a load: the scene, the plan that all servers share, and the length."""

    scene: Scene
    plan: Plan
    length: Length


def of_server(name: str, stage: Stage, *, python: str) -> Figures:
    """One server's figures.

    Raises:
        NotStarted, WrongAnswer, TooSlow: see there.
    """
    with running(name, stage.scene, stage.plan, python=python) as server:
        check(name, server.port, stage.scene)
        told: Figures = {"closed": closed(server, stage, _saved(stage, name))}
        if name == "ours":  # before and behind the one task's load, so that a drift of the machine cancels
            told["closed_64"] = closed(server, stage, _saved_many(stage))
            told["closed_again"] = closed(server, stage, _saved(stage, name))
            told["unloaded"] = unloaded(server, stage)
        capacity = told["closed"]["per_second"]
        told["open"] = {
            str(share): opened(server, stage, _saved(stage, name), capacity * share / 100) for share in SHARES
        }
        return told


def closed(server: Running, stage: Stage, requests: Path) -> Figures:
    """Throughput at saturation: `CLIENTS` clients, each with a request under way all the time."""
    return _loaded(server, stage, load.Job(server.port, str(requests), *_times(stage), clients=CLIENTS))


def opened(server: Running, stage: Stage, requests: Path, rate: float) -> Figures:
    """Latencies when requests come at a fixed rate, whatever the server does."""
    told = _loaded(server, stage, load.Job(server.port, str(requests), *_times(stage), rate=rate))
    return {"rate": rate, **told}


def unloaded(server: Running, stage: Stage) -> Figures:
    """One client: what a request takes beyond the forward pass that its own answer reports."""
    job = load.Job(server.port, str(_saved(stage, "ours")), *_times(stage), clients=1, answers=True)
    told = _loaded(server, stage, job)
    computing = [json.loads(body)["timings"]["compute_ms"] for body in told.pop("bodies")]
    added = [latency - compute for latency, compute in zip(told.pop("latencies_ms"), computing, strict=True)]
    return {**told, "compute_p50_ms": median(computing), "added_p50_ms": median(added)}


def alone(stage: Stage) -> Figures:
    """The engine without a server."""
    words = [sys.executable, "-m", "benchmarks.serving.alone", str(stage.scene.folder), str(stage.length.seconds)]
    told: Figures = json.loads(_output(words, environment(stage.scene, stage.plan, 0)))
    return told


def _times(stage: Stage) -> tuple[float, float]:
    """Warm-up and seconds, as a job has them."""
    return stage.length.warmup, stage.length.seconds


def _loaded(server: Running, stage: Stage, job: load.Job) -> Figures:
    return loaded(server, job, environment(stage.scene, stage.plan, 0))


def loaded(server: Running, job: load.Job, variables: Mapping[str, str]) -> Figures:
    """Do a job in a process with these environment variables, and measure its cost for the server.

    Raises:
        TooSlow: fewer than two good answers.
        RuntimeError: the process failed.
    """
    before = server.cpu_seconds()
    words = [sys.executable, "-m", "benchmarks.serving.load"]
    told: Figures = json.loads(_output(words, variables, load.as_json(job)))
    if not told.get("per_second"):
        raise TooSlow(f"{told['sent']} requests, and fewer than two good answers in {job.seconds:g} s")
    spent = server.cpu_seconds() - before
    return {**told, "server_cpu_ms_per_request": spent / max(1, told["sent"]) * 1e3}


def _output(words: Sequence[str], variables: Mapping[str, str], given: str = "") -> str:
    done = subprocess.run(words, env=variables, cwd=ROOT, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[2]} failed: {done.stderr[-2000:]}")
    return done.stdout


def _saved(stage: Stage, name: str) -> Path:
    return _file(stage, name, [request(STYLES[name], image) for image in stage.scene.images])


def _saved_many(stage: Stage) -> Path:
    """Every image by a task drawn at random."""
    styles, dice = [ours(task) for task in range(len(stage.scene.tasks))], Random(0)
    return _file(stage, "many", [request(dice.choice(styles), image) for image in stage.scene.images])


def _file(stage: Stage, name: str, requests: Sequence[bytes]) -> Path:
    path = stage.scene.folder / f"{name}.requests"
    if not path.exists():
        load.save(requests, path)
    return path


PEER_PACKAGES = {"litserve": "litserve", "bentoml": "bentoml", "mlserver": "mlserver", "ray": "ray"}


def missing(pythons: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the installed peers; for the others, the reason why they are absent."""
    there, absent = {}, {}
    for name, python in pythons.items():
        question = f"from importlib.metadata import version; print(version({PEER_PACKAGES[name]!r}))"
        try:
            done = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
        except OSError as error:
            absent[name] = f"{python}: {error.strerror}"
            continue
        if done.returncode:
            absent[name] = "not installed"
        else:
            there[name] = done.stdout.strip()
    return there, absent


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
    """Raise SystemExit where the machine has other work."""
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
        "settings": {"batch": options.batch, "threads": options.threads, "clients": CLIENTS},
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
    """Measure each system once, another one first in each round. A peer that fails is absent from then on."""
    names, told = ["alone", *(name for name in servers if name not in absent)], {}
    first = number % len(names)
    for name in names[first:] + names[:first]:
        print(f"{stage.scene.backbone}, round {number + 1}: {name}", file=sys.stderr, flush=True)
        try:
            told[name] = of_server(name, stage, python=servers[name]) if name in servers else alone(stage)
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


def measure_and_report(
    options: argparse.Namespace,
    run: Callable[[argparse.Namespace], dict[str, Any]],
    report: Callable[[Mapping[str, Any]], str],
) -> int:
    """Measure with `run` on a quiet machine, write the JSON file, print the `report`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else a server would be left running
    if not options.force:
        refuse_if_busy()
    result = run(options)
    write_json(options.json, result)
    print(report(result))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    return measure_and_report(parse(arguments), run, report)
