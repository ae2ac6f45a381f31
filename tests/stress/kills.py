"""`kill -9` during publications to a store: real processes, killed at every step and at random moments.

    python -m tests.stress kills --count 200 --json kills.json

After each death the store is opened again as by a restarted server. Everything acknowledged must be there and intact.
At most the version that was being published may have been added. A sweep must leave no leftovers.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from adapters_store import Store, StoreError, digest, open_store
from adapters_store.backend import BLOBS
from adapters_store.folder_backend import STAGING, FolderBackend
from adapters_store.opening import open_backend
from benchmarks.measure import context, write_json
from tests.stress.kill_victim import TASK

ROOT = Path(__file__).resolve().parents[2]
LONGEST_LIFE = 0.1  # seconds from the first acknowledgement to a kill at a random moment, at most
Acknowledged = dict[int, str]  # version -> sha256


@dataclass
class Report:
    """The results of all kills. All figures from `lost` to `leftovers` must be zero."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0  # acknowledged versions that are gone or changed
    torn: int = 0  # versions that cannot be read
    extra: int = 0  # versions beyond the acknowledged ones and the one on its way
    leftovers: int = 0  # blobs and drafts after a sweep that nothing names
    recoveries: list[float] = field(default_factory=list)  # seconds to open the store and read its state

    @property
    def harm(self) -> int:
        """The sum of all figures that must be zero."""
        return self.lost + self.torn + self.extra + self.leftovers


@contextmanager
def publishers() -> Iterator[Callable[[str], Iterator[str]]]:
    """Yield a function that sends an order to `kill_victim` and yields its answers."""
    command = [sys.executable, "-m", "tests.stress.kill_victim"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}  # one thread: it will fork
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield partial(send, process)
        if process.stdin:
            process.stdin.close()


def send(process: "subprocess.Popen[str]", line: str) -> Iterator[str]:
    """Send an order; return the answers up to the kill."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    print(line, file=process.stdin, flush=True)
    return iter(process.stdout.readline, "dead\n")


def until_killed(order: Callable[[str], Iterator[str]], line: str) -> Acknowledged:
    """Return what a publisher acknowledged before it was killed.

    Raises:
        RuntimeError: it ended in another way.
    """
    acknowledged: Acknowledged = {}
    for answer in order(line):
        words = answer.split()
        if len(words) != 3:
            raise RuntimeError(f"the publisher failed: {answer!r}")
        acknowledged[int(words[0])] = words[1]
    return acknowledged


def examine(url: str, acknowledged: Acknowledged, before: int, report: Report) -> int:
    """Open the store as after a restart, count what is wrong, and return the newest version."""
    start = time.perf_counter()
    with closing(open_store(url)) as store:
        state = store.snapshot()
        report.recoveries.append(time.perf_counter() - start)
        versions = state.tasks[TASK].versions if TASK in state.tasks else {}
        for version, sha256 in acknowledged.items():
            report.lost += version not in versions or versions[version].sha256 != sha256
        report.torn += sum(not intact(store, info.sha256) for version, info in versions.items() if version > before)
        newest = state.last_version(TASK)
        report.extra += max(0, newest - max(acknowledged, default=before) - 1)
        store.sweep(older_than=-LONGEST_LIFE)
        report.leftovers += leftovers(store, url)
    return newest


def intact(store: Store, sha256: str) -> bool:
    """Tell whether the bytes of a hash can be read."""
    try:
        return digest(store.read(sha256)) == sha256
    except StoreError:
        return False


def leftovers(store: Store, url: str) -> int:
    """Count what lies in the home and is named by nothing."""
    named = {info.blob for info in store.snapshot().versions()}
    with closing(open_backend(url)) as backend:
        drafts = len(backend.list(STAGING)) if isinstance(backend, FolderBackend) else 0
        return drafts + sum(item.name not in named for item in backend.list(BLOBS))


def kill(url: str, steps: Iterable[int], *, seed: int = 0) -> Report:
    """Kill one publisher after another on one store, each at its step; step 0 is a random moment."""
    report, newest, dice = Report(), 0, random.Random(seed)
    with publishers() as order:
        for life, step in enumerate(steps):
            delay = dice.uniform(0, LONGEST_LIFE)
            acknowledged = until_killed(order, f"{url} {life} {step} {delay}")
            newest = examine(url, acknowledged, newest, report)
            report.kills += 1
            report.acknowledged += len(acknowledged)
    return report


def schedule(count: int) -> list[int]:
    """Return `count` steps: every other one the next step, the rest random moments."""
    return [0 if number % 2 else 1 + number // 2 for number in range(count)]


def run(count: int) -> dict[str, object]:
    """Kill `count` times in each kind of store; return everything measured, as JSON values."""
    result = context(["obstore"])
    with tempfile.TemporaryDirectory() as folder:
        for name, url in {"sqlite": f"sqlite:///{folder}/store.db", "folder": f"file://{folder}/store"}.items():
            report = kill(url, schedule(count))
            recoveries = {"median_seconds": median(report.recoveries), "longest_seconds": max(report.recoveries)}
            result[name] = {**asdict(report), "recoveries": recoveries, "harm": report.harm}
    return result


def main(arguments: Sequence[str]) -> int:
    """Kill, write the JSON file, print it; the exit status is 1 if any harm was done."""
    parser = argparse.ArgumentParser(prog="tests.stress kills", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="kills in each kind of store")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    result = run(options.count)
    print(write_json(options.json, result))
    return int(any(isinstance(value, dict) and value.get("harm") for value in result.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
