"""Real replicas of one core each: their times, one against two, and what the simulation says about the same load.

Each replica is a `mimi serve` bound to a core. Its client is bound to the same core, so a replica has the same
conditions alone and beside another. Every round measures the times anew, right before the loads that are compared: a
machine's speed changes within minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from backbone import BUNDLED
from benchmarks import quiet
from benchmarks.measure import LEAST_VALUES, context, interval
from benchmarks.scaling.calibration import Spent, calibrated
from benchmarks.scaling.model import Shape, Times
from benchmarks.scaling.simulation import Load, simulate
from benchmarks.serving import load, scene
from benchmarks.serving.asking import STYLES, request
from benchmarks.serving.scene import Scene
from benchmarks.serving.servers import ROOT, Plan, Running, environment, running
from service.client import Client

PACKAGES = ("torch", "uvicorn", "fastapi")
LARGEST = 16  # images of a batch
CLIENTS, FEW = 32, 16  # of each replica
LIGHT = 0.4  # of what a few clients get: the load that leaves the front asleep at times
BUSY = 0.6  # of the predicted limit, in the open loop
COMPARED = (
    *((name, "cpu_ms") for name in ("one", "two", "open")),  # not those of the loads that the times are from
    *((name, "per_second") for name in ("few", "one", "two")),
    *((name, "p50_ms") for name in ("few", "light", "one", "open")),
)
MOST_OTHERS = 0.02  # of the processor's time, that other processes may take during a load
_TRIES = 3  # for a load that others disturb

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Length:
    """How long: seconds of a load, rounds, and requests of the largest batch."""

    seconds: float = 3.0
    warmup: float = 1.0
    rounds: int = LEAST_VALUES
    timed: int = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A running replica, its core, and a file of prepared requests."""

    server: Running
    core: int
    requests: Path


@dataclass(frozen=True, slots=True)
class Bench:
    """The replicas, the first of them the one that stands alone, and what they are asked."""

    places: Sequence[Place]
    made: Scene
    plan: Plan
    length: Length

    def job(self, *, clients: int = 0, rate: float = 0.0) -> load.Job:
        """Clients that wait for their answers, or requests at random times."""
        return load.Job(0, "", self.length.warmup, self.length.seconds, clients=clients, rate=rate)


def run(
    length: Length, *, cores: Sequence[int], keep: Callable[[Figures], object], before: Sequence[Figures] = ()
) -> None:
    """Measure and predict.

    Args:
        length: of the loads.
        cores: of the replicas, one each.
        keep: gets everything so far as JSON values after each round, so an interrupted run is not lost.
        before: rounds of an earlier run.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        made, plan = scene.make(BUNDLED, Path(name)), Plan(batch=LARGEST, threads=1)
        requests = Path(name) / "requests"
        load.save([request(STYLES["ours"], image) for image in made.images], requests)
        places = [Place(stack.enter_context(running("ours", made, plan, core=core)), core, requests) for core in cores]
        bench, rounds, known = Bench(places, made, plan, length), list(before), context(PACKAGES)
        for _ in range(length.rounds):
            rounds.append(_round(bench))
            keep({**known, **compared(rounds), "rounds": rounds})


def compared(rounds: Sequence[Figures]) -> Figures:
    """Each figure: measured, predicted, and how far off that is; with enough rounds, 95 % intervals of the medians.

    Rounds that other processes disturbed do not count, unless all are disturbed.
    """
    quiet_ones = [each for each in rounds if all(part["others"] <= MOST_OTHERS for part in each["loads"].values())]
    disturbed, rounds = len(rounds) - len(quiet_ones), quiet_ones or rounds
    said = [each["predicted"] for each in rounds]
    found = [each["measured"] for each in rounds]
    return {
        "disturbed_rounds": disturbed,
        "figures": {
            name: {
                "measured": _estimate([each[name] for each in found]),
                "predicted": _estimate([each[name] for each in said]),
                "off": _estimate([mine[name] / real[name] - 1 for mine, real in zip(said, found, strict=True)]),
            }
            for name in found[0]
        },
        "two_against_one": _estimate([each["two_per_second"] / each["one_per_second"] for each in found]),
        "times_ms": {name: median(each["times_ms"][name] for each in rounds) for name in rounds[0]["times_ms"]},
    }


def _estimate(values: Sequence[float]) -> dict[str, float]:
    return asdict(interval(values)) if len(values) >= LEAST_VALUES else {"median": median(values)}


@dataclass(frozen=True, slots=True)
class Seen:
    """A load: what its clients tell, what the replicas spent, the same for the simulation, and the share of others."""

    told: Figures
    spent: Spent
    load: Load
    others: float

    def figures(self) -> dict[str, float]:
        """Those that are compared."""
        return {**{name: self.told[name] for name in ("per_second", "p50_ms")}, "cpu_ms": 1e3 * self.spent.seconds}


def _round(bench: Bench) -> Figures:
    """The times, then one replica, all at once, and random arrivals, each with what the simulation says."""
    alone = bench.places[:1]
    largest = _largest(bench)
    few = _seen(bench, alone, bench.job(clients=FEW))
    light = _seen(bench, alone, bench.job(rate=LIGHT * few.told["per_second"]))
    times = calibrated([(light.load, light.spent), (few.load, few.spent)], largest)
    seen = {
        "few": few,
        "light": light,
        "one": _seen(bench, alone, bench.job(clients=CLIENTS)),
        "two": _seen(bench, bench.places, bench.job(clients=CLIENTS)),
        "open": _seen(bench, alone, bench.job(rate=BUSY * Shape(times).limit)),
    }
    said = {name: predicted(times, each.load) for name, each in seen.items()}
    return {
        "times_ms": {name: 1e3 * value for name, value in asdict(times).items() if name != "measured"},
        "batches_ms": [(images, 1e3 * seconds) for images, seconds in times.measured],
        "open_rate": BUSY * Shape(times).limit,
        "measured": {f"{name}_{kind}": seen[name].figures()[kind] for name, kind in COMPARED},
        "predicted": {f"{name}_{kind}": said[name][kind] for name, kind in COMPARED},
        "loads": {name: {**each.told, **asdict(each.spent), "others": each.others} for name, each in seen.items()},
    }


def predicted(times: Times, work: Load) -> dict[str, float]:
    """The simulation of a load; two replicas have twice the clients of one."""
    replicas = max(1, work.clients // CLIENTS)
    found = simulate(Shape(times, most=LARGEST), work, replicas=replicas)
    computed = sum(times.forward(images) for images in found.batches) / sum(found.batches)
    return {
        "per_second": found.per_second(work.seconds),
        "p50_ms": 1e3 * found.percentile(0.5),
        "cpu_ms": 1e3 * (computed + times.front + times.wake * found.woken / found.asked),
    }


def _largest(bench: Bench) -> tuple[int, float]:
    """A full batch: its images, and the seconds of the engine's thread."""
    server, images = bench.places[0].server, bench.made.images[:LARGEST]
    with Client(f"http://127.0.0.1:{server.port}") as client:
        before = _threads(server)
        for _ in range(bench.length.timed):
            client.predict("task-00", images)
        return LARGEST, max(_grown(before, _threads(server)).values()) / bench.length.timed


def _seen(bench: Bench, places: Sequence[Place], job: load.Job) -> Seen:
    """Load replicas, and see what they spend; again if other processes disturb it."""
    for _ in range(_TRIES):
        seen = _seen_once(bench, places, job)
        if seen.others <= MOST_OTHERS:
            break
    return seen


def _seen_once(bench: Bench, places: Sequence[Place], job: load.Job) -> Seen:
    servers = [place.server.process.pid for place in bench.places]
    ticks = quiet.ticks(servers)
    batches, before = _batches(places), [_threads(place.server) for place in places]
    told = _clients(bench, places, job)
    after = [_threads(place.server) for place in places]
    grown = [_grown(*pair) for pair in zip(before, after, strict=True)]
    engine = sum(max(each.values()) for each in grown)  # the busiest thread is the engine's
    front = sum(sum(each.values()) for each in grown) - engine
    front += sum(each["client_cpu_share"] for each in told) * (job.warmup + job.seconds)
    spent = Spent(sum(each["sent"] for each in told), _batches(places) - batches, engine, front)
    work = Load(job.seconds, clients=job.clients * len(places), warmup=job.warmup, due=tuple(job.due))
    whole = {"failed": sum(each["failed"] for each in told), "per_second": sum(each["per_second"] for each in told)}
    return Seen({**told[0], **whole}, spent, work, quiet.share_of_others(ticks, quiet.ticks(servers)) or 0.0)


def _batches(places: Sequence[Place]) -> float:
    """Batches that replicas have computed, by their own count."""
    count = 0.0
    for place in places:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.server.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        count += sum(float(line.split()[1]) for line in lines if line.startswith("mimi_batch_images_count"))
    return count


def _threads(server: Running) -> dict[int, float]:
    """Seconds that each thread of a server has run on a core."""
    found = {}
    for folder in Path(f"/proc/{server.process.pid}/task").iterdir():
        with suppress(OSError):  # a thread may end meanwhile
            found[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
    return found


def _grown(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    return {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}


def _clients(bench: Bench, places: Sequence[Place], job: load.Job) -> list[Figures]:
    """A client's process for each replica, all at once; their figures."""
    begun = []
    for place in places:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.load"],
            env=environment(bench.made, bench.plan, 0), cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        os.sched_setaffinity(process.pid, {place.core})
        begun.append((process, replace(job, port=place.server.port, requests=str(place.requests))))
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
