"""A long run under everything at once: many resident tasks, a swap every second, mixed requests, cancellations.

Engine and process are set up as the server sets them up. Every answer is compared with what its task answers alone, by
the loop that defines it, computed beforehand; memory is watched. The run fails on a wrong answer, on an error that
nobody asked for, and where memory grows.

    python -m benchmarks soak --minutes 30 --json soak.json
"""

import argparse
import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone import Backbone, load_backbone
from benchmarks.engine.equality import TOLERANCE, difference
from benchmarks.engine.ours.opened import open_over, references
from benchmarks.engine.tasks import pruned_task
from benchmarks.engine.worker import memory
from benchmarks.measure import context, write_json
from service.engine import Batcher, DeadlineExceeded, Resident, Row, RowResult, TooMuchAhead

PACKAGES = ("torch", "timm", "numpy")
IMAGES, MOST_ROWS, CLIENTS = 4, 12, 8
CANCELLED, HURRIED = 0.1, 0.1  # shares of requests that are given up, and that have a deadline
PATIENCE = 0.05  # seconds, at most, until a request is given up
MOST_GROWTH = 0.02  # of resident memory, from the second quarter of the run to the last


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """What a task points to, and what it must answer about each image."""

    resident: Resident
    answers: np.ndarray  # (images, classes)


@dataclass(slots=True)
class Toll:
    """What happened. The last three must be empty."""

    answers: int = 0
    cancelled: int = 0
    late: int = 0
    swaps: int = 0
    resident_bytes: list[int] = field(default_factory=list)  # sampled at every swap
    worst_difference: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    lingering: int = 0  # evicted tasks that are still in memory at the end

    def check(self, result: RowResult, expected: np.ndarray) -> None:
        """Count one answer."""
        far = difference(expected, result.logits)
        self.answers += 1
        self.wrong += not far <= TOLERANCE
        self.worst_difference = max(self.worst_difference, min(far, 1e9))  # JSON has no infinity

    @property
    def growth(self) -> float:
        """Of memory: the last quarter of the run against the second, as a share; 0 where it was too short to tell."""
        quarter = len(self.resident_bytes) // 4
        if quarter == 0:
            return 0.0
        return median(self.resident_bytes[-quarter:]) / median(self.resident_bytes[quarter : 2 * quarter]) - 1

    @property
    def failed(self) -> bool:
        """Whether anything happened that must not."""
        return bool(self.wrong or self.errors or self.lingering or self.growth > MOST_GROWTH or not self.answers)


class Soak:
    """The engine under test, its tasks, and those who ask."""

    def __init__(self, backbone: Backbone, tasks: int, toll: Toll, *, seed: int = 0) -> None:
        """Make `tasks` tasks resident, each with the answers that it must give."""
        self.engine, self.toll = open_over(backbone).engine, toll
        self.batcher = Batcher(self.engine)
        self._plain = load_backbone()  # computes what must be answered, and nothing else
        self._dice, self._made = random.Random(seed), 0
        size = backbone.preprocessing.size
        self.pixels = np.random.default_rng(seed).integers(0, 256, (IMAGES, *size, 3), dtype=np.uint8)
        self._images: Tensor = backbone.preprocessing.normalize(torch.from_numpy(self.pixels))
        self.table = [self.next_version() for _ in range(tasks)]

    def next_version(self) -> Version:
        """A task of its own, resident, with live sites that no other has."""
        self._made += 1
        adapter = pruned_task(self._plain, seed=self._made)
        resident = self.engine.admit(adapter, f"version-{self._made}")
        answers = references(self._plain, self._images, [resident] * IMAGES)
        return Version(resident, torch.stack(answers).numpy())

    async def swap(self) -> None:
        """Give a random task another version, and let go of the old one."""
        new = await asyncio.to_thread(self.next_version)
        number = self._dice.randrange(len(self.table))
        old, self.table[number] = self.table[number], new
        self.engine.evict(old.resident.sha256)
        self.toll.swaps += 1
        self.toll.resident_bytes.append(memory("VmRSS"))

    async def ask(self) -> None:
        """One request of random tasks about random images, some about the same one; some are given up or hurried."""
        asked = [(self._dice.choice(self.table), self._dice.randrange(IMAGES)) for _ in range(self._rows())]
        rows = [Row(version.resident, self.pixels[image]) for version, image in asked]
        fate, moment = self._dice.random(), self._dice.uniform(0, PATIENCE)
        deadline = time.monotonic() + moment if CANCELLED <= fate < CANCELLED + HURRIED else None
        request = asyncio.create_task(self.batcher.submit(rows, deadline=deadline))
        if fate < CANCELLED:
            await asyncio.wait([request], timeout=moment)
            request.cancel()
        try:
            results = await request
        except asyncio.CancelledError:
            self.toll.cancelled += 1
        except (DeadlineExceeded, TooMuchAhead):  # foreseen, too
            self.toll.late += 1
        else:
            for (version, image), result in zip(asked, results, strict=True):
                self.toll.check(result, version.answers[image])

    def _rows(self) -> int:
        return self._dice.randint(1, MOST_ROWS)


async def until(end: float, step: Callable[[], Coroutine[Any, Any, None]], toll: Toll, *, every: float = 0.0) -> None:
    """Repeat a step until the end, at most once every so many seconds; whatever goes wrong is counted."""
    while (start := time.monotonic()) < end:
        try:
            await step()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            toll.errors[what] = toll.errors.get(what, 0) + 1
        await asyncio.sleep(max(0.0, start + every - time.monotonic()))


async def run(soak: Soak, seconds: float, swap_seconds: float) -> None:
    """Ask for so long, and swap at most once every `swap_seconds`."""
    soak.batcher.start()
    end = time.monotonic() + seconds
    clients = [until(end, soak.ask, soak.toll) for _ in range(CLIENTS)]
    await asyncio.gather(until(end, soak.swap, soak.toll, every=swap_seconds), *clients)
    await soak.batcher.drain(60.0)
    gc.collect()
    soak.toll.lingering = soak.engine.usage().lingering


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--minutes", type=float, default=30.0, help="of asking (default: 30)")
    parser.add_argument("--tasks", type=int, default=1000, help="resident at once (default: 1000)")
    parser.add_argument("--swap-seconds", type=float, default=1.0, help="between swaps, at least (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="of the engine (default: 2)")
    return parser.parse_args(arguments)


def report(result: Mapping[str, Any]) -> str:
    """In a few lines."""
    toll = result["toll"]
    return (
        f"{toll['answers']} answers, {toll['wrong']} wrong (largest difference {toll['worst_difference']:.1e}); "
        f"{toll['cancelled']} requests cancelled, {toll['late']} too late, errors: {toll['errors'] or 'none'}\n"
        f"{toll['swaps']} swaps over {result['tasks']} tasks, {toll['lingering']} old versions left in memory; "
        f"memory grew by {result['growth']:.2%}\n{'FAILED' if result['failed'] else 'passed'}"
    )


def main(arguments: Sequence[str]) -> int:
    """Soak, write the JSON file, print what happened; 1 where something happened that must not."""
    options, toll = parse(arguments), Toll()
    torch.set_num_threads(options.threads)
    soak = Soak(load_backbone(), options.tasks, toll)
    asyncio.run(run(soak, 60 * options.minutes, options.swap_seconds))
    chosen = {name: value for name, value in vars(options).items() if name != "json"}
    outcome = {"toll": asdict(toll), "growth": toll.growth, "failed": toll.failed}
    result = {"benchmark": "soak", **chosen, **context(PACKAGES), **outcome}
    write_json(options.json, result)
    print(report(result))
    return int(toll.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
