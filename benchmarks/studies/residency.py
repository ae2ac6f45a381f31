"""Times and memory of many tasks: the start with their names, their loading, and their eviction.

Over a store of many synthetic tasks on the bundled backbone: time and memory from opening the store to the table of
tasks; time to a task that is in memory, or in the store alone; memory of all tasks resident
against their adapters' bytes; a batch of random tasks against one of 16 tasks; and what of a working set stays in
memory when ten thousand others are scanned, or when it is one larger than the memory.

    python -m benchmarks studies.residency --json residency.json
"""

import argparse
import gc
import mmap
import random
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch

from adapters_store import TaskAdapter, VersionInfo, open_store, pack
from backbone import load_backbone
from benchmarks.measure import context, interleave, ratios, write_json
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident, Row
from service.engine.cache import S3Fifo
from service.tasks.loads import Loads
from service.tasks.registry import Registry
from service.tasks.table import Content

PACKAGES = ("torch", "numpy")
SIZES, QUICK_SIZES = (1, 1000, 5000), (1, 50, 100)
KINDS, CLASSES, WIDEST = 8, 10, 12  # different sets of widths; labels; hidden sizes are below
BATCH, ROUNDS, QUICK_ROUNDS = 16, 40, 6

Figures = Mapping[str, object]


def tasks(engine: Engine, count: int) -> Iterable[TaskAdapter]:
    """Task adapters of different contents; of `KINDS` sets of widths."""
    dice, sites = np.random.default_rng(0), len(engine.backbone.sites)
    widths = [[int(width) for width in dice.integers(0, WIDEST, sites)] for _ in range(KINDS)]
    kinds = [task_adapter(engine.backbone, each, classes=CLASSES, seed=seed) for seed, each in enumerate(widths)]
    for number in range(count):
        adapter = kinds[number % KINDS]
        yield replace(adapter, manifest=replace(adapter.manifest, description=f"task {number}"))


def filled(path: Path, engine: Engine, count: int) -> None:
    """Make a store of `count` tasks."""
    with closing(open_store(str(path))) as store:
        store.seed({f"task-{number}": pack(each) for number, each in enumerate(tasks(engine, count))})


def start(path: Path, engine: Engine) -> Figures:
    """Open a store and learn its tasks, as a server does before it listens."""
    before, begin = _memory(), time.perf_counter()
    with closing(open_store(str(path))) as store:
        loader = Loads(store, engine)
        registry = Registry(store, engine, loader)
        registry.sync()
        seconds = time.perf_counter() - begin
        loader.close()
        return {"tasks": len(registry.table), "seconds": seconds, "memory_bytes": max(0, _memory() - before)}


def loads(path: Path, engine: Engine) -> Figures:
    """Milliseconds until a task is in memory, by where it lay before."""
    found: dict[str, list[float]] = {"store": [], "memory": []}
    with closing(open_store(str(path))) as store:
        loader = Loads(store, engine, threads=1)
        contents = [Content(info.sha256) for info in store.snapshot().versions()]
        random.Random(0).shuffle(contents)
        for content in contents:
            found["store"].append(_milliseconds(loader, content))
            found["memory"].append(_milliseconds(loader, content))
        loader.close()
    return {source: _spread(times) for source, times in found.items()}


def resident(engine: Engine, count: int, rounds: int) -> Figures:
    """Memory of many tasks, and what a batch of random ones costs against one of 16 tasks; in processor time."""
    before = _memory()
    held = [engine.admit(each, f"{number:064x}") for number, each in enumerate(tasks(engine, count))]
    nbytes, memory = engine.usage().nbytes, _memory() - before
    dice, size = np.random.default_rng(1), (*engine.backbone.preprocessing.size, 3)
    images = [dice.integers(0, 256, size, dtype=np.uint8) for _ in range(BATCH)]

    def batch(choose: Callable[[], Sequence[Resident]]) -> Callable[[], object]:
        return lambda: engine.run([Row(task, image) for task, image in zip(choose(), images, strict=True)])

    variants = {
        "single": batch(lambda: held[:1] * BATCH),
        "16": batch(lambda: held[:BATCH]),
        "random": batch(lambda: [held[index] for index in dice.integers(0, count, BATCH)]),
    }
    times = {name: each.cpu_seconds for name, each in interleave(variants, rounds=rounds).items()}
    return {
        "tasks": count,
        "adapter_bytes": nbytes,
        "memory_vs_adapter_bytes": memory / nbytes,
        "random_vs_16": asdict(ratios(times["random"], times["16"])),
        "16_vs_single": asdict(ratios(times["16"], times["single"])),
    }


def _milliseconds(loader: Loads, content: Content) -> float:
    begin = time.perf_counter()
    loader.wait(content)
    return 1e3 * (time.perf_counter() - begin)


def _spread(times: Sequence[float]) -> Figures:
    return {"count": len(times), "p50_ms": median(times), "p99_ms": quantiles(times, n=100)[98]}


def _memory() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * mmap.PAGESIZE


def run(sizes: Sequence[int], rounds: int) -> Figures:
    """All figures."""
    torch.set_num_threads(1)
    backbone = load_backbone()
    # Memory first: later it would be given back and taken again.
    held = resident(Engine(backbone), sizes[1], rounds)
    figures: dict[str, object] = {"context": context(PACKAGES), "kept": kept(), "resident": held}
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: Path(folder) / f"{count}.db" for count in sizes}
        for count, path in paths.items():
            filled(path, Engine(backbone), count)
        figures["starts"] = [start(path, Engine(backbone)) for path in paths.values()]
        room = sum(info.size for info in _versions(paths[sizes[1]])) // 2
        figures["loads"] = loads(paths[sizes[1]], Engine(backbone, budget=room))
    return figures


def _versions(path: Path) -> list[VersionInfo]:
    with closing(open_store(str(path))) as store:
        return list(store.snapshot().versions())


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks studies.residency", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SIZES} tasks instead of {SIZES}, fewer rounds")
    options = parser.parse_args(arguments)
    result = run(QUICK_SIZES, QUICK_ROUNDS) if options.quick else run(SIZES, ROUNDS)
    print(write_json(options.json, result))
    return 0


CAPACITY, SCANNED = 100, 10_000


def kept() -> Mapping[str, Mapping[str, float]]:
    """Hit rates, against those of the least recently used."""
    working = [f"hot {index}" for index in range(CAPACITY + 1)]
    scan = [*working[: CAPACITY * 9 // 10] * 4, *(f"cold {index}" for index in range(SCANNED))]
    loop = working * 40
    policies: dict[str, Callable[[], Callable[[str], bool]]] = {"s3fifo": _s3fifo, "lru": _lru}
    return {
        name: {
            "working_set_after_a_scan": _rate(policy(), [*scan, *working[: CAPACITY * 9 // 10]], CAPACITY * 9 // 10),
            "working_set_one_too_large": _rate(policy(), loop, len(loop) // 2),
        }
        for name, policy in policies.items()
    }


def _s3fifo() -> Callable[[str], bool]:
    eviction = S3Fifo(CAPACITY)

    def ask(name: str) -> bool:
        if there := name in eviction:
            eviction.use(name)
        else:
            eviction.add(name, 1)
        return there

    return ask


def _lru() -> Callable[[str], bool]:
    held: OrderedDict[str, None] = OrderedDict()

    def ask(name: str) -> bool:
        there = name in held
        held[name] = None
        held.move_to_end(name)
        if len(held) > CAPACITY:
            held.popitem(last=False)
        return there

    return ask


def _rate(ask: Callable[[str], bool], names: Sequence[str], last: int) -> float:
    """Share of the last requests that found what they asked for."""
    return sum([ask(name) for name in names][-last:]) / last
