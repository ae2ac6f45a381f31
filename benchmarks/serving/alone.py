"""The engine without a server, in a process of its own: what HTTP is measured against.

The same settings and the same parts as the server's; writes what it measured to standard output, in JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters_store import digest, unpack
from backbone import decode
from service.configuration import load
from service.engine import Engine, Row
from service.server import build


def batches(engine: Engine, rows: Sequence[Row], *, seconds: float) -> list[float]:
    """Seconds of one forward pass after another, for so long; the first, which warms up, does not count."""
    engine.run(rows)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        engine.run(rows)
        times.append(time.perf_counter() - start)
    return times


def measure(folder: Path, *, seconds: float) -> dict[str, float]:
    """The engine's rate at full batches, and its seconds for a full batch and for one image."""
    settings = load(os.environ)
    service = build(settings)
    task = (folder / "task.safetensors").read_bytes()
    resident = service.engine.admit(unpack(task), digest(task))
    prepare = service.engine.backbone.preprocessing.pixels
    files = sorted((folder / "images").iterdir())[: settings.batch_images]
    rows = [Row(resident, prepare(decode(file.read_bytes()))) for file in files]
    full = batches(service.engine, rows, seconds=seconds)
    one = batches(service.engine, rows[:1], seconds=seconds / 4)
    service.store.close()
    return {
        "batch": len(rows),
        "per_second": len(rows) / float(np.mean(full)),  # the mean, as the server's rate is one
        "forward_ms": float(np.median(full)) * 1e3,
        "forward_of_one_ms": float(np.median(one)) * 1e3,
    }


def main(arguments: Sequence[str]) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving.alone")
    parser.add_argument("folder", type=Path, help="of a scene")
    parser.add_argument("seconds", type=float)
    options = parser.parse_args(arguments)
    json.dump(measure(options.folder, seconds=options.seconds), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
