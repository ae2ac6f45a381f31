"""The latency of requests while kernels are compiled beside them, on the same machine.

The engine answers one image at a time, with a pause between two: first on a quiet machine, then while kernels are
compiled again and again, then quiet again. Give it as many threads as the server would have.

    python -m benchmarks studies.compiling --json compiling.json
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from backbone import BUNDLED, load_backbone
from backbone.kernels import build, level
from backbone.memory import keep_large_blocks
from benchmarks.measure import context, write_json
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Row

PACKAGES = ("torch", "timm")
PAUSE = 0.01  # seconds between an answer and the next question


def latencies(ask: Callable[[], object], *, seconds: float) -> list[float]:
    """Seconds of each answer."""
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        ask()
        taken.append(time.monotonic() - start)
        time.sleep(PAUSE)
    return taken


def summary(taken: Sequence[float]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    p99 = sorted(taken)[min(len(taken) - 1, int(0.99 * len(taken)))]
    return {"answers": len(taken), "p50_ms": 1e3 * median(taken), "p99_ms": 1e3 * p99, "most_ms": 1e3 * max(taken)}


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(options.backbone, pretrained=options.backbone == BUNDLED)
    engine = Engine(backbone)
    widths = [4] * len(backbone.sites)
    task = engine.admit(task_adapter(backbone, widths, classes=10, seed=0, initial_widths=widths), "a task")
    pixels = np.random.default_rng(0).integers(0, 256, (*backbone.preprocessing.size, 3), dtype=np.uint8)

    def ask() -> object:
        return engine.run([Row(task, pixels)])

    latencies(ask, seconds=2.0)
    before = latencies(ask, seconds=options.seconds)
    during, times = _while_compiling(ask, 2 * options.seconds)
    after = latencies(ask, seconds=options.seconds)
    quiet, busy = summary(before + after), summary(during)
    return {
        "benchmark": "compiling",
        "backbone": backbone.name,
        "threads": options.threads,
        **context(PACKAGES),
        "quiet": quiet,
        "while_compiling": busy,
        "times_compiled": times,
        "p99_while_compiling_vs_quiet": busy["p99_ms"] / quiet["p99_ms"],
    }


def _while_compiling(ask: Callable[[], object], seconds: float) -> tuple[list[float], int]:
    """Seconds of each answer, and how often the kernels were compiled meanwhile."""
    ended, times = threading.Event(), 0

    def compile_on() -> None:
        nonlocal times
        with tempfile.TemporaryDirectory() as folder:
            while not ended.is_set():
                build(Path(folder), level())
                times += 1

    compiler = threading.Thread(target=compile_on)
    compiler.start()
    try:
        return latencies(ask, seconds=seconds), times
    finally:
        ended.set()
        compiler.join()


def report(result: Mapping[str, Any]) -> str:
    """The figures in a few lines."""
    line = "{:16} p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, {answers} answers"
    lines = [
        line.format("quiet", **result["quiet"]),
        line.format("while compiling", **result["while_compiling"]),
    ]
    return "\n".join([*lines, f"p99 while compiling: {result['p99_while_compiling_vs_quiet']:.2f} of quiet"])


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the figures."""
    parser = argparse.ArgumentParser(
        prog="benchmarks studies.compiling", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--backbone", default=BUNDLED, help="any known name, with random weights")
    parser.add_argument("--threads", type=int, default=2, help="of a forward pass (default: 2)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of quiet, before and after (default: 20)")
    options = parser.parse_args(arguments)
    result = run(options)
    write_json(options.json, result)
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
