"""Uploads, deletions, reads and predictions of one task by many threads at once, on a real server.

    python -m tests.stress storm --json storm.json [--quick]

Each answer must come from one published file, or say that there is no such task. Everything else counts as wrong:
another status, numbers of one file under the name of another, a version number that was given twice.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adapters_store import digest
from adapters_store.bundled import bundled_tasks
from benchmarks.measure import context, write_json
from mimi.demo.server import running_server
from service.client import Client, ClientError, NotFound, Refused, RetryPolicy
from tests.stress.material import BASES, EXACT, Material, prepare
from tests.stress.swaps import PACKAGES

TASK = "storm"
THREADS, ROUNDS, QUICK_ROUNDS = 32, 1024, 16
_PATIENCE = 600.0  # seconds for one call: all uploads may be queued before it
_MILLI = 1e3


@dataclass
class Counts:
    """Answers to all threads, by operation."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    numbers: Counter[int] = field(default_factory=Counter)  # how often each version number was given to a new version
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, operation: str, outcome: str, seconds: float, *, right: bool) -> None:
        """Count one answer."""
        with self.lock:
            self.outcomes[operation][outcome] += 1
            self.seconds[operation].append(seconds)
            if not right:
                self.wrong[f"{operation}: {outcome}"] += 1

    def numbered(self, version: int) -> None:
        """Count a number that a new version got."""
        with self.lock:
            self.numbers[version] += 1

    def report(self) -> dict[str, object]:
        """All counts as JSON values; `harm` must be 0."""
        reused = sum(times - 1 for times in self.numbers.values())
        return {
            "operations": sum(outcomes.total() for outcomes in self.outcomes.values()),
            "outcomes": {name: dict(outcomes) for name, outcomes in sorted(self.outcomes.items())},
            "latency_ms": {name: _shares(seconds) for name, seconds in sorted(self.seconds.items())},
            "version_numbers": len(self.numbers),
            "wrong": dict(self.wrong),
            "numbers_given_twice": reused,
            "harm": self.wrong.total() + reused,
        }


class Thread:
    """One thread; it draws another operation each round."""

    def __init__(self, client: Client, material: Material, counts: Counts, seed: int) -> None:
        self._client, self._material, self._counts = client, material, counts
        self._dice = random.Random(seed)
        self._files = bundled_tasks()

    def run(self, rounds: int, end: float) -> int:
        """Make `rounds` requests, or as many as fit until `end` (monotonic); how many there were."""
        doing: Mapping[str, Callable[[], bool]] = {
            "put": self._put,
            "get": self._get,
            "delete": self._delete,
            "predict": self._predict,
        }
        for done in range(rounds):
            if time.monotonic() > end:
                return done
            operation = self._dice.choice(list(doing))
            start = time.monotonic()
            outcome, right = _outcome(operation, doing[operation])
            self._counts.add(operation, outcome, time.monotonic() - start, right=right)
        return rounds

    def _put(self) -> bool:
        data = self._files[self._dice.choice(BASES)]
        answer = self._client.upload(TASK, data)
        if answer.created:
            self._counts.numbered(answer.version)
        return answer.sha256 == digest(data)

    def _get(self) -> bool:
        answer = self._client.task(TASK)
        base = self._material.base_of.get(answer.sha256)
        return base is not None and answer.labels == list(self._material.adapters[base].manifest.labels)

    def _delete(self) -> bool:
        self._client.delete_task(TASK)
        return True

    def _predict(self) -> bool:
        image = self._dice.randrange(len(self._material.images))
        answer = self._client.predict(TASK, self._material.images[image], output="logits")
        return self._material.fits(answer, image)


def _outcome(operation: str, act: Callable[[], bool]) -> tuple[str, bool]:
    """The name of an outcome, and whether it is allowed: a deleted task may be gone, but never for a put."""
    try:
        return ("done", True) if act() else ("mixed", False)
    except NotFound as error:
        return f"404 {error.problem.code}", operation != "put"
    except Refused as error:
        return f"{error.problem.status} {error.problem.code}", False
    except ClientError as error:
        return type(error).__name__, False


def run(threads: int, rounds: int, seconds: float = 3600.0) -> dict[str, object]:
    """Start a server, run the threads for so many rounds or seconds, and report as JSON values."""
    result: dict[str, object] = {**context(PACKAGES), "threads": threads}
    options = ["--request-seconds", str(_PATIENCE), *EXACT]
    policy = RetryPolicy(seconds=_PATIENCE, attempts=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder), options=options) as server,
        Client(server.url, policy=policy) as client,
        ThreadPoolExecutor(threads) as pool,
    ):
        material, counts = prepare(client), Counts()
        material.base_of.update({digest(bundled_tasks()[base]): base for base in BASES})
        start = time.monotonic()
        workers = [Thread(client, material, counts, seed) for seed in range(threads)]
        made = list(pool.map(lambda worker: worker.run(rounds, start + seconds), workers))
        return {**result, "rounds": min(made), "seconds": time.monotonic() - start, **counts.report()}


def _shares(seconds: Sequence[float]) -> dict[str, float]:
    taken = np.percentile(seconds, (50, 99, 100)) * _MILLI
    return dict(zip(("p50", "p99", "max"), taken.tolist(), strict=True))


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; the exit status is 1 if any answer was wrong."""
    parser = argparse.ArgumentParser(prog="tests.stress storm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    options = parser.parse_args(arguments)
    result = run(THREADS, QUICK_ROUNDS if options.quick else ROUNDS)
    print(write_json(options.json, result))
    return int(result["harm"] != 0)
