"""A long run of the engine: many resident tasks, a swap every second, mixed requests, cancellations.

The engine is set up as the server sets it up. Every answer is compared with the one that the reference loop gave
beforehand for the same task and image. Memory is watched. The run fails on a wrong answer, on an unexpected error, and
where memory grows.

    python -m tests.stress soak --minutes 30 --json soak.json
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
from benchmarks.engine.material import open_over, pruned_task, references
from benchmarks.engine.pipe import Job
from benchmarks.engine.worker import memory
from benchmarks.measure import TOLERANCE, context, difference, write_json
from service.engine import Batcher, DeadlineExceeded, Resident, Row, RowResult, TooMuchAhead

PACKAGES = ("torch", "timm", "numpy")
IMAGES, MOST_ROWS, CLIENTS = 4, 12, 8
CANCELLED, HURRIED = 0.1, 0.1  # shares of requests that are given up, and that have a deadline
PATIENCE = 0.05  # seconds, at most, until a request is given up
MOST_GROWTH = 0.02  # of resident memory, from the second quarter of the run to the last


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """The weights of a task, and the right answer about each image."""

    resident: Resident
    answers: np.ndarray  # (images, classes)


@dataclass(slots=True)
class Outcome:
    """The results. `errors`, `wrong` and `lingering` must be empty."""

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
        """Growth of memory from the second quarter of the run to the last, as a share; 0 in a run too short."""
        quarter = len(self.resident_bytes) // 4
        if quarter == 0:
            return 0.0
        return median(self.resident_bytes[-quarter:]) / median(self.resident_bytes[quarter : 2 * quarter]) - 1

    @property
    def failed(self) -> bool:
        """Whether the run failed."""
        return bool(self.wrong or self.errors or self.lingering or self.growth > MOST_GROWTH or not self.answers)


class Soak:
    """The engine under test, its tasks, and its clients."""

    def __init__(self, backbone: Backbone, tasks: int, outcome: Outcome, *, seed: int = 0) -> None:
        """Make `tasks` tasks resident, each with the answers that it must give."""
        self.engine, self.outcome = open_over(backbone, Job("", "", threads=torch.get_num_threads())).engine, outcome
        self.batcher = Batcher(self.engine)
        self._plain = load_backbone()  # computes what must be answered, and nothing else
        self._dice, self._made = random.Random(seed), 0
        size = backbone.preprocessing.size
        self.pixels = np.random.default_rng(seed).integers(0, 256, (IMAGES, *size, 3), dtype=np.uint8)
        self._images: Tensor = backbone.preprocessing.normalize(torch.from_numpy(self.pixels))
        self.table = [self.next_version() for _ in range(tasks)]

    def next_version(self) -> Version:
        """A new resident task with live sites of its own."""
        self._made += 1
        adapter = pruned_task(self._plain, seed=self._made)
        resident = self.engine.admit(adapter, f"version-{self._made}")
        answers = references(self._plain, self._images, [resident] * IMAGES)
        return Version(resident, torch.stack(answers).numpy())

    async def swap(self) -> None:
        """Give a random task another version, and evict the old one."""
        new = await asyncio.to_thread(self.next_version)
        number = self._dice.randrange(len(self.table))
        old, self.table[number] = self.table[number], new
        self.engine.evict(old.resident.sha256)
        self.outcome.swaps += 1
        self.outcome.resident_bytes.append(memory("VmRSS"))

    async def ask(self) -> None:
        """Send one request of random tasks about random images. Some are cancelled, some have a short deadline."""
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
            self.outcome.cancelled += 1
        except (DeadlineExceeded, TooMuchAhead):  # expected, too
            self.outcome.late += 1
        else:
            for (version, image), result in zip(asked, results, strict=True):
                self.outcome.check(result, version.answers[image])

    def _rows(self) -> int:
        return self._dice.randint(1, MOST_ROWS)


async def until(
    end: float, step: Callable[[], Coroutine[Any, Any, None]], outcome: Outcome, *, every: float = 0.0
) -> None:
    """Repeat a step until the end, at most once every `every` seconds, and count errors."""
    while (start := time.monotonic()) < end:
        try:
            await step()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            outcome.errors[what] = outcome.errors.get(what, 0) + 1
        await asyncio.sleep(max(0.0, start + every - time.monotonic()))


async def run(soak: Soak, seconds: float, swap_seconds: float) -> None:
    """Send requests for `seconds`, and swap at most once every `swap_seconds`."""
    soak.batcher.start()
    end = time.monotonic() + seconds
    clients = [until(end, soak.ask, soak.outcome) for _ in range(CLIENTS)]
    await asyncio.gather(until(end, soak.swap, soak.outcome, every=swap_seconds), *clients)
    await soak.batcher.drain(60.0)
    gc.collect()
    soak.outcome.lingering = soak.engine.usage().lingering


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="tests.stress soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--minutes", type=float, default=30.0, help="of requests (default: 30)")
    parser.add_argument("--tasks", type=int, default=1000, help="resident at once (default: 1000)")
    parser.add_argument("--swap-seconds", type=float, default=1.0, help="between swaps, at least (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="of the engine (default: 2)")
    return parser.parse_args(arguments)


def report(result: Mapping[str, Any]) -> str:
    """The result in a few lines."""
    toll = result["toll"]
    return (
        f"{toll['answers']} answers, {toll['wrong']} wrong (largest difference {toll['worst_difference']:.1e}); "
        f"{toll['cancelled']} requests cancelled, {toll['late']} too late, errors: {toll['errors'] or 'none'}\n"
        f"{toll['swaps']} swaps over {result['tasks']} tasks, {toll['lingering']} old versions left in memory; "
        f"memory grew by {result['growth']:.2%}\n{'FAILED' if result['failed'] else 'passed'}"
    )


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print the result; the exit status is 1 if the run failed."""
    options, outcome = parse(arguments), Outcome()
    torch.set_num_threads(options.threads)
    soak = Soak(load_backbone(), options.tasks, outcome)
    asyncio.run(run(soak, 60 * options.minutes, options.swap_seconds))
    chosen = {name: value for name, value in vars(options).items() if name != "json"}
    told = {"toll": asdict(outcome), "growth": outcome.growth, "failed": outcome.failed}
    result = {"benchmark": "soak", **chosen, **context(PACKAGES), **told}
    write_json(options.json, result)
    print(report(result))
    return int(outcome.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
