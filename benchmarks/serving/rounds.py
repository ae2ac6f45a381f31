"""One round: each server is started anew, checked, saturated, and loaded to shares of its own capacity.

Nothing else of ours runs meanwhile: a server that only waits may take cores as well.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.serving import load
from benchmarks.serving.asking import STYLES, ours, request
from benchmarks.serving.checking import check
from benchmarks.serving.scene import Scene
from benchmarks.serving.servers import ROOT, Plan, Running, environment, running

CLIENTS = 32
SHARES = (30, 60, 90, 200)  # percent of a server's own capacity

Figures = dict[str, Any]


class TooSlow(Exception):
    """A load had so few answers that they give no figure."""


@dataclass(frozen=True, slots=True)
class Length:
    """Seconds that a load counts, and seconds that it warms up before."""

    seconds: float
    warmup: float


@dataclass(frozen=True, slots=True)
class Stage:
    """Where loads are played: the scene, what all servers are given alike, and for how long."""

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
    """Latencies when requests come at a rate, whatever the server does."""
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
    """Do a job, and see what it cost the server."""
    before = server.cpu_seconds()
    words = [sys.executable, "-m", "benchmarks.serving.load"]
    told: Figures = json.loads(_output(words, environment(stage.scene, stage.plan, 0), load.as_json(job)))
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
