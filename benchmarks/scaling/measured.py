"""Real replicas of one core each: their times, one against two, and what the simulation says about the same load.

Each replica is a `mimi serve` bound to a core. Its client is bound to the same core, so a replica has the same
conditions alone and beside another. Few clients measure the times. Many make the load that is compared.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from backbone import BUNDLED
from benchmarks.measure import context
from benchmarks.scaling.model import Shape, Times, fitted
from benchmarks.scaling.simulation import Counts, Load, simulate
from benchmarks.serving import load, scene
from benchmarks.serving.asking import STYLES, request
from benchmarks.serving.scene import Scene
from benchmarks.serving.servers import ROOT, Plan, Running, environment, running
from service.client import Client

PACKAGES = ("torch", "uvicorn", "fastapi")
SIZES = (1, 4, 16)  # images of the batches that are timed
CLIENTS, FEW = 32, 8  # of each replica
BUSY = 0.6  # of the predicted limit, in the open loop
_SIMULATED = 60.0  # seconds

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Length:
    """How long: seconds of a load, rounds, and requests of each size of batch."""

    seconds: float = 12.0
    warmup: float = 3.0
    rounds: int = 5
    timed: int = 80


@dataclass(frozen=True, slots=True)
class Place:
    """A running replica, its core, and a file of prepared requests."""

    server: Running
    core: int
    requests: Path


def run(length: Length, *, cores: Sequence[int]) -> Figures:
    """Everything measured and predicted, as JSON values; the first core's replica is the one that stands alone."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        made, plan = scene.make(BUNDLED, Path(name)), Plan(batch=max(SIZES), threads=1)
        requests = Path(name) / "requests"
        load.save([request(STYLES["ours"], image) for image in made.images], requests)
        places = [Place(stack.enter_context(running("ours", made, plan, core=core)), core, requests) for core in cores]
        times = measured_times(places[0], made, length)
        rounds = [_round(places, length, made, plan) for _ in range(length.rounds)]
        rate = BUSY * Shape(times, most=max(SIZES)).limit
        opened = [_loaded(places[:1], length, made, plan, rate=rate)[0] for _ in range(length.rounds)]
    found = {name: median(each[name] for each in rounds) for name in rounds[0] if name != "failed"}
    found["open_p50_ms"] = median(each["p50_ms"] for each in opened)
    said = predicted(times, rate, replicas=len(cores))
    return {
        **context(PACKAGES),
        "times_ms": {name: 1e3 * value for name, value in asdict(times).items()},
        "two_against_one": [each["two_per_second"] / each["one_per_second"] for each in rounds],
        "two_against_one_by_cpu": [2 * each["one_cpu_ms"] / each["two_cpu_ms"] for each in rounds],
        "open_rate": rate,
        "measured": found,
        "predicted": said,
        "off": {name: said[name] / value - 1 for name, value in found.items()},
        "rounds": rounds,
        "open_rounds": opened,
    }


def measured_times(place: Place, made: Scene, length: Length) -> Times:
    """The times of a replica in processor time, so that other work on the machine hardly counts.

    Batches of known sizes give those of the engine, a few clients at once the front's: one alone would wake every
    thread for each request.
    """
    points, engine = [], 0
    with Client(f"http://127.0.0.1:{place.server.port}") as client:
        for size in sorted(SIZES, reverse=True):
            before = _threads(place.server)
            for number in range(length.timed):
                first = number * size % (len(made.images) - size)
                client.predict("task-00", made.images[first : first + size])
            spent = _grown(before, _threads(place.server))
            engine = engine or max(spent, key=lambda thread: spent[thread])  # of 16 images it computes nearly all
            points.append((size, spent[engine] / length.timed))
    before, job = _threads(place.server), Plan(max(SIZES), 1)
    (told,) = _asked([place], length, made, job, clients=FEW)
    spent = _grown(before, _threads(place.server))
    front = (sum(spent.values()) - spent[engine]) / told["sent"]
    return Times(*fitted(points), front + _client_seconds(told, length))


def _threads(server: Running) -> dict[int, float]:
    """Seconds that each thread of a server has run on a core."""
    found = {}
    for folder in Path(f"/proc/{server.process.pid}/task").iterdir():
        with suppress(OSError):  # a thread may end meanwhile
            found[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
    return found


def _grown(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    return {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}


def _client_seconds(told: Figures, length: Length) -> float:
    """Processor time of a client for each request: it lives on the replica's core."""
    share: float = told["client_cpu_share"] * (length.warmup + length.seconds) / told["sent"]
    return share


def predicted(times: Times, rate: float, *, replicas: int) -> dict[str, float]:
    """The simulation of the loads that are measured."""
    shape = Shape(times, most=max(SIZES))
    one = simulate(shape, Load(_SIMULATED, clients=CLIENTS))
    many = simulate(shape, Load(_SIMULATED, clients=CLIENTS * replicas), replicas=replicas)
    opened = simulate(shape, Load(_SIMULATED, rate=rate))
    return {
        "one_cpu_ms": _cpu_ms(one, times),
        "two_cpu_ms": _cpu_ms(many, times),
        "one_per_second": one.per_second(_SIMULATED),
        "two_per_second": many.per_second(_SIMULATED),
        "one_p50_ms": 1e3 * one.percentile(0.5),
        "open_p50_ms": 1e3 * opened.percentile(0.5),
    }


def _cpu_ms(found: Counts, times: Times) -> float:
    """Processor time of a request, by the batches that were computed."""
    computed = sum(times.forward(images) for images in found.batches) / sum(found.batches)
    return 1e3 * (computed + times.front)


def _round(places: Sequence[Place], length: Length, made: Scene, plan: Plan) -> Figures:
    """One replica, then all at once."""
    figures: Figures = {"failed": 0}
    for name, who in (("one", places[:1]), ("two", places)):
        before = [_threads(place.server) for place in who]
        told = _asked(who, length, made, plan, clients=CLIENTS)
        pairs = zip(who, before, strict=True)
        spent = sum(sum(_grown(then, _threads(place.server)).values()) for place, then in pairs)
        spent += sum(_client_seconds(each, length) * each["sent"] for each in told)
        figures[f"{name}_cpu_ms"] = 1e3 * spent / sum(each["sent"] for each in told)
        figures[f"{name}_per_second"] = sum(each["per_second"] for each in told)
        figures["failed"] += sum(each["failed"] for each in told)
        if name == "one":
            figures["one_p50_ms"] = told[0]["p50_ms"]
    return figures


def _asked(places: Sequence[Place], length: Length, made: Scene, plan: Plan, *, clients: int) -> list[Figures]:
    """Clients that wait for their answers, the same number for each replica."""
    return _clients(places, made, plan, load.Job(0, "", length.warmup, length.seconds, clients=clients))


def _loaded(places: Sequence[Place], length: Length, made: Scene, plan: Plan, *, rate: float) -> list[Figures]:
    """Requests at random times."""
    return _clients(places, made, plan, load.Job(0, "", length.warmup, length.seconds, rate=rate))


def _clients(places: Sequence[Place], made: Scene, plan: Plan, job: load.Job) -> list[Figures]:
    """A client's process for each replica, all at once; their figures."""
    begun = []
    for place in places:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.load"],
            env=environment(made, plan, 0), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        os.sched_setaffinity(process.pid, {place.core})
        begun.append((process, load.Job(**{**asdict(job), "port": place.server.port, "requests": str(place.requests)})))
    for process, own in begun:
        if process.stdin is not None:
            process.stdin.write(load.as_json(own))
            process.stdin.close()
    told = []
    for process, _ in begun:
        text = process.stdout.read() if process.stdout is not None else ""
        if process.wait():
            raise RuntimeError("a client failed")
        told.append(json.loads(text))
    return told
