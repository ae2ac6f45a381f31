"""The engine without a server, in a process of its own: the baseline for HTTP.

It has the settings and the parts of the server. It writes its figures to standard output, in JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path

import numpy as np

from adapters_store import digest, unpack
from backbone import decode
from service.engine import Engine, Row
from service.process.configuration import load
from service.process.server import build


def batches(engine: Engine, rows: Sequence[Row], *, seconds: float) -> list[float]:
    """Seconds of each forward pass, for `seconds` in total; the first pass, a warm-up, does not count."""
    engine.run(rows)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        engine.run(rows)
        times.append(time.perf_counter() - start)
    return times


def measure(folder: Path, *, seconds: float) -> dict[str, object]:
    """The engine's rate at full batches, and its milliseconds for a full batch and for one image.

    It is measured in the main thread and, as in the server, in another thread. There OpenMP's threads wait differently:
    they spin while the process has no more of them than the machine has cores. The faster of both is the baseline.
    """
    settings = load(os.environ)
    service = build(settings)
    task = (folder / "task.safetensors").read_bytes()
    resident = service.engine.admit(unpack(task), digest(task))
    prepare = service.engine.backbone.preprocessing.pixels
    files = sorted((folder / "images").iterdir())[: settings.batch_images]
    rows = [Row(resident, prepare(decode(file.read_bytes()))) for file in files]
    with ThreadPoolExecutor(1) as thread:
        ways = {
            "main": _timed(service.engine, rows, seconds / 2),
            "thread": thread.submit(_timed, service.engine, rows, seconds / 2).result(),
        }
    service.store.close()
    return {"batch": len(rows), **max(ways.values(), key=itemgetter("per_second")), "ways": ways}


def _timed(engine: Engine, rows: Sequence[Row], seconds: float) -> dict[str, float]:
    full = batches(engine, rows, seconds=seconds)
    one = batches(engine, rows[:1], seconds=seconds / 4)
    return {
        "per_second": len(rows) / float(np.mean(full)),  # the mean, as the server's rate is one
        "forward_ms": float(np.median(full)) * 1e3,
        "forward_of_one_ms": float(np.median(one)) * 1e3,
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving.alone")
    parser.add_argument("folder", type=Path, help="of a scene")
    parser.add_argument("seconds", type=float)
    options = parser.parse_args(arguments)
    json.dump(measure(options.folder, seconds=options.seconds), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
