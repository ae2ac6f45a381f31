"""The cost of the unknown score: its time, as a share of a forward pass of the bundled tasks.

python -m benchmarks studies.scoring --json scoring.json
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from adapters_store import digest, unpack
from adapters_store.bundled import bundled_tasks
from backbone import load_backbone, unknown_scores
from backbone.kernels import best, default_folder
from service.engine import Engine, Resident, Row
from service.engine.runtime import TorchRuntime

_SIDE = 64  # pixels of the bundled backbone


def least(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of several runs: other processes only ever make one slower."""
    found = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - start)
    return found


def batches(residents: Sequence[Resident]) -> dict[str, list[Row]]:
    """The batches that are measured, by name."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8) for _ in range(16)]
    return {
        "one image, one task": [Row(residents[0], images[0])],
        "one image, every task": [Row(resident, images[0]) for resident in residents],
        "16 images, one task": [Row(residents[0], image) for image in images],
        "16 images, tasks in turn": [Row(residents[i % len(residents)], image) for i, image in enumerate(images)],
    }


def measured(engine: Engine, rows: Sequence[Row], times: int) -> dict[str, float]:
    """Milliseconds of a batch as a whole and of its scores, and their share."""
    counts: dict[Resident, int] = {}
    for row in rows:
        counts[row.resident] = counts.get(row.resident, 0) + 1
    size, random = engine.backbone.feature_dim, np.random.default_rng(1)
    parts = [(resident, random.normal(size=(count, size)).astype(np.float32)) for resident, count in counts.items()]

    def scores() -> None:
        for resident, features in parts:
            if resident.known is not None:
                unknown_scores(features, resident.known).tolist()

    whole, scored = least(lambda: engine.run(rows), times), least(scores, 10 * times)
    return {"forward_ms": 1e3 * whole, "scores_ms": 1e3 * scored, "share": scored / whole}


def run(times: int) -> dict[str, dict[str, float]]:
    """The figures of every batch."""
    backbone = load_backbone()
    runtime = TorchRuntime(backbone)
    runtime.use(best(backbone, default_folder(), compiles=True))
    engine = Engine(backbone, runtime)
    residents = [engine.admit(unpack(data), digest(data)) for data in bundled_tasks().values()]
    return {name: measured(engine, rows, times) for name, rows in batches(residents).items()}


def main(arguments: Sequence[str]) -> int:
    """Parse the command line, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--times", type=int, default=50, help="runs of each batch; the fastest counts")
    given = parser.parse_args(arguments)
    found = run(given.times)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, row in found.items():
        print(f"{name}: forward {row['forward_ms']:.2f} ms, scores {row['scores_ms']:.3f} ms, {row['share']:.2%}")
    return 0
