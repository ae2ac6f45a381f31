"""The command line: `plan` computes the tables of docs/scaling.md, `replicas` runs real ones and checks the plan."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import quiet
from benchmarks.measure import write_json
from benchmarks.scaling import measured
from benchmarks.scaling.model import BUSY, Shape, Store, Times, hit_rate, separate_fleet, shared_fleet, zipf
from benchmarks.scaling.simulation import Load, Memory, simulate

# Seconds of one core. The bundled backbone: as real replicas were measured (docs/results/scaling-replicas.json).
# Swin-T: processor time of a request under load and of one alone, 119 and 161 ms, of which HTTP and decoding take 4
# (serving.json).
BUNDLED = Times(image=0.0016, batch=0.0027, front=0.0016, wake=0.0014)
SWIN_T = Times(image=0.112, batch=0.045, front=0.004)
BACKBONES = {"bundled": (BUNDLED, 0.028), "swin_t": (SWIN_T, 0.110)}  # and GiB of the weights of one full model
TASKS = 100_000
SKEWS = (0.6, 0.8, 1.0, 1.2)
SIZES = (1_000, 10_000, 40_000)  # tasks that fit
RATES = (10.0, 100.0, 1_000.0)  # images a second of all tasks
REPLICA_GIB, PROCESS_GIB, TASK_GIB = 1.0, 0.5, 0.0001
_SECONDS, _LONG = 60.0, 400.0


def plan() -> dict[str, Any]:
    """Every table of the document."""
    return {
        "batches": [_batch(busy) for busy in (0.2, 0.4, 0.6, 0.8, 0.9)],
        "windows": [_window(window) for window in (0.0, 0.005, 0.02)],
        "memory": [_memory(skew) for skew in SKEWS],
        "cold": [_cold(size) for size in SIZES[:2]],
        "store": [_store(replicas) for replicas in (2, 10, 100)],
        "cost": [_cost(name, rate, tasks) for name in BACKBONES for rate in RATES for tasks in (10, 1_000, TASKS)],
    }


def _batch(busy: float) -> dict[str, float]:
    """One replica at a part of its limit: calculated and simulated."""
    shape = Shape(BUNDLED)
    rate = busy * shape.limit
    found = simulate(shape, Load(_SECONDS, rate=rate))
    return {
        "busy": busy,
        "rate": rate,
        "mean_ms_calculated": 1e3 * shape.latency(rate),
        "mean_ms": 1e3 * sum(found.latencies) / len(found.latencies),
        "p99_ms": 1e3 * found.percentile(0.99),
        "batch": found.mean_batch,
    }


def _window(window: float) -> dict[str, float]:
    """A batch that waits for more images, at the load that replicas are planned for."""
    shape = Shape(BUNDLED)
    found = simulate(shape, Load(_SECONDS, rate=BUSY * shape.limit), window=window)
    return {"window_ms": 1e3 * window, "p50_ms": 1e3 * found.percentile(0.5), "batch": found.mean_batch}


def _memory(skew: float) -> dict[str, float]:
    """The part of the requests that memories of several sizes answer."""
    popularity = zipf(TASKS, skew)
    return {"skew": skew, **{str(size): hit_rate(popularity, size) for size in SIZES}}


def _cold(size: int) -> dict[str, float]:
    """Two replicas with too small a memory, one load from the store in 20 ms; simulated."""
    shape = Shape(BUNDLED)
    memory = Memory(tasks=TASKS, skew=1.0, device=size)
    load = Load(_SECONDS, rate=2 * 0.5 * shape.limit, warmup=_LONG)  # until the memory holds what it will hold
    found = simulate(shape, load, replicas=2, memory=memory)
    return {
        "size": size,
        "missed": found.from_store / found.asked,
        "missed_calculated": 1 - hit_rate(zipf(TASKS, 1.0), size),
        "p50_ms": 1e3 * found.percentile(0.5),
        "p99_ms": 1e3 * found.percentile(0.99),
    }


def _store(replicas: int) -> dict[str, float]:
    """Reads of the store, with ten changes an hour, memory for 10,000 of 100,000 tasks, replicas at their plan."""
    store, misses = Store(), 1 - hit_rate(zipf(TASKS, 1.0), SIZES[1])
    known = {"rate": replicas * BUSY * Shape(BUNDLED).limit, "misses": misses, "changes": 10 / 3600}
    return {
        "replicas": replicas,
        "looks": replicas / store.follow_seconds,
        "reads": store.reads(replicas, **known),
        "bytes": store.bytes(replicas, **known),
    }


def _cost(name: str, rate: float, tasks: int) -> dict[str, Any]:
    """Dollars for a million images: one backbone for all tasks, 10,000 of them in memory, and one model for each."""
    times, weights = BACKBONES[name]
    shape = Shape(times)
    held = min(tasks, SIZES[1])
    reads, gib = rate * (1 - hit_rate(zipf(tasks, 1.0), held)), REPLICA_GIB + held * TASK_GIB
    replicas, shared = shared_fleet(shape, rate=rate, gib=gib, reads=reads)
    packed = separate_fleet(shape, tasks=tasks, rate=rate, gib=weights)
    single = separate_fleet(shape, tasks=tasks, rate=rate, gib=weights, process_gib=PROCESS_GIB)
    return {
        "backbone": name,
        "rate": rate,
        "tasks": tasks,
        "replicas": replicas,
        "shared": asdict(shared),
        "models_in_few_processes": asdict(packed),
        "process_for_each_model": asdict(single),
    }


def main(arguments: Sequence[str]) -> int:
    """Compute or measure, write the JSON file, print it."""
    parser = argparse.ArgumentParser(prog="benchmarks scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("plan", "replicas"))
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--quick", action="store_true", help="replicas: one short round that shows that it works")
    parser.add_argument("--rounds", type=int, default=measured.Length().rounds, help="replicas: of all loads")
    parser.add_argument("--add", action="store_true", help="replicas: to the rounds that the file has")
    parser.add_argument("--force", action="store_true", help="replicas: measure on a machine that has other work, too")
    options = parser.parse_args(arguments)
    if options.add and not options.json.is_file():
        parser.error(f"{options.json}: --add needs the file of earlier rounds")
    if options.what == "plan":
        print(write_json(options.json, plan()))
        return 0
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:  # noqa: PLR2004
        parser.error("two replicas need two cores")
    if not options.force:
        quiet.check()
    length = measured.Length(1.0, 0.5, 1, 10) if options.quick else measured.Length(rounds=options.rounds)
    before = json.loads(options.json.read_text(encoding="utf-8"))["rounds"] if options.add else ()
    measured.run(length, cores=cores, keep=lambda found: print(write_json(options.json, found)), before=before)
    return 0
