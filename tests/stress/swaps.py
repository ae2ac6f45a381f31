"""Whether a swap loses an answer: a real server, clients that never pause, and a change of what is live every second.

    python -m tests.stress swaps --json swaps.json [--quick]

`Swapper` makes one change after the other: uploads, alias moves, canaries, rollbacks, deletions. The clients ask all
the time and write down every answer. `verdict` says which answers were wrong. Everything is judged from outside, by the
clients' monotonic clock, which is the same for all processes of a machine.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from math import inf
from pathlib import Path

import numpy as np

from benchmarks.measure import context, write_json
from mimi.demo.server import running_server
from service.client import AsyncClient, Client, ClientError, Refused, RetryPolicy
from service.client.predict_calls import predict
from service.schemas import AliasAnswer
from tests.stress.material import EXACT, TASK, Material, prepare

_KEPT = 6  # versions; older ones are deleted, unless something may still point at them
_MILLI = 1e3


@dataclass(frozen=True, slots=True)
class Change:
    """The live versions after a change. The change took effect at an unknown moment between `sent` and `answered`."""

    kind: str
    sent: float  # monotonic seconds, as is the next
    answered: float
    live: frozenset[int]


class Swapper:
    """Changes what is live on one connection, and keeps the history. No change may fail: a refusal ends the run."""

    def __init__(self, client: Client, material: Material, *, seed: int = 0) -> None:
        """Publish the first version."""
        self._client, self._files, self._dice = client, material.files(), random.Random(seed)
        self._versions: list[int] = []
        self._deleted = 0
        self.history: list[Change] = []
        self.files: dict[int, str] = {}  # SHA-256 of each version
        self._do("upload", self._upload)

    def run(self, seconds: float, period: float) -> None:
        """Make a change every `period` seconds, or when the previous one has been answered."""
        start = time.monotonic()
        kinds = {"upload": self._upload, "alias": self._alias, "canary": self._canary, "rollback": self._roll_back}
        for number, (kind, change) in enumerate(cycle(kinds.items())):
            due = start + number * period
            if max(due, time.monotonic()) >= start + seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            self._do(kind, change)
            self._tidy()

    def report(self) -> dict[str, object]:
        """The number of changes of each kind, and how long they took to be answered."""
        took = [change.answered - change.sent for change in self.history]
        shares = dict(zip(("p50", "p99", "max"), np.percentile(took, (50, 99, 100)).tolist(), strict=True))
        return {
            "changes": dict(Counter(change.kind for change in self.history)),
            "deleted_versions": self._deleted,
            "change_ms": {name: seconds * _MILLI for name, seconds in shares.items()},
        }

    def _do(self, kind: str, change: Callable[[], frozenset[int]]) -> None:
        sent = time.monotonic()
        live = change()
        self.history.append(Change(kind, sent, time.monotonic(), live))

    def _upload(self) -> frozenset[int]:
        answer = self._client.upload(TASK, next(self._files))
        self._versions.append(answer.version)
        self.files[answer.version] = answer.sha256
        return frozenset({answer.version})

    def _alias(self) -> frozenset[int]:
        live = self.history[-1].live
        others = [version for version in self._versions if version not in live]
        return _live(self._client.set_alias(TASK, "live", self._dice.choice(others or self._versions)))

    def _canary(self) -> frozenset[int]:
        chosen = self._dice.sample(self._versions, min(2, len(self._versions)))
        return _live(self._client.set_alias(TASK, "live", dict.fromkeys(chosen, 0.5)))

    def _roll_back(self) -> frozenset[int]:
        return _live(self._client.rollback(TASK))

    def _tidy(self) -> None:
        """Delete the oldest versions; those of the last two targets stay, as a rollback may return to them."""
        needed = frozenset().union(*(change.live for change in self.history[-2:]))
        spare = [version for version in self._versions if version not in needed]
        for version in spare[: max(0, len(self._versions) - _KEPT)]:
            self._client.delete_version(TASK, version)
            self._versions.remove(version)
            self._deleted += 1


def _live(answer: AliasAnswer) -> frozenset[int]:
    return frozenset(int(version) for version, share in answer.weights.items() if share)


_ONCE = RetryPolicy(attempts=1)  # a refusal must be seen, not mended


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer."""

    sent: float  # monotonic seconds, as is the next
    answered: float
    version: int
    sha256: str
    whole: bool  # the numbers are those of the file that it names


@dataclass
class Log:
    """All answers and refusals."""

    seen: list[Seen] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)  # by status and code, or by how the connection failed


@asynccontextmanager
async def asking(url: str, material: Material, clients: int, log: Log) -> AsyncIterator[None]:
    """While the block runs, `clients` clients send requests; at its end each waits for its last answer."""
    over = asyncio.Event()
    async with AsyncClient(url, policy=_ONCE) as client, asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(_client(client, material, number, log, over))
        try:
            yield
        finally:
            over.set()


async def _client(client: AsyncClient, material: Material, number: int, log: Log, over: asyncio.Event) -> None:
    calls = [predict(TASK, image, output="logits") for image in material.images]
    while not over.is_set():
        image = number % len(calls)
        number += 1
        sent = time.monotonic()
        try:
            answer = await client.send(calls[image])
        except ClientError as error:
            log.refused[_name(error)] += 1
            continue
        seen = Seen(sent, time.monotonic(), answer.version, answer.sha256, material.fits(answer, image))
        log.seen.append(seen)


def _name(error: ClientError) -> str:
    return f"{error.problem.status} {error.problem.code}" if isinstance(error, Refused) else type(error).__name__


Spans = Mapping[int, Sequence[tuple[float, float]]]  # version -> from when until when it may have been live


def verdict(logs: Sequence[Log], history: Sequence[Change], files: Mapping[int, str]) -> dict[str, object]:
    """Counts of wrong answers; every figure but the first should be zero.

    Args:
        logs: of all clients.
        history: all changes, in their order.
        files: the SHA-256 of each version that was published.

    Returns:
        versions_seen: how many versions answered.
        refused: answers that were none, by kind.
        not_live: answers of a version that was live at no moment from sending the request to reading its answer.
        torn: answers whose numbers are not those of the file that they name, or whose file is another version's.
        harm: all of these together.
    """
    seen = [each for log in logs for each in log.seen]
    refused = sum((log.refused for log in logs), Counter[str]())
    when = spans(history)
    not_live = sum(not may_have_answered(each, when) for each in seen)
    torn = sum(not each.whole or files.get(each.version) != each.sha256 for each in seen)
    return {
        "versions_seen": len({each.version for each in seen}),
        "refused": dict(refused),
        "not_live": not_live,
        "torn": torn,
        "harm": refused.total() + not_live + torn,
    }


def spans(history: Sequence[Change]) -> Spans:
    """From when until when each version may have been live.

    A change comes into force somewhere between its sending and its answer. So what it made live may have been so from
    its sending on, until the change after it was answered, and not one moment longer.
    """
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    ends = [*(change.answered for change in history[1:]), inf]
    for change, end in zip(history, ends, strict=True):
        for version in change.live:
            found[version].append((change.sent, end))
    return found


def may_have_answered(seen: Seen, when: Spans) -> bool:
    """Whether the version may have been live at one moment between the request's sending and its answer."""
    return any(begin <= seen.answered and seen.sent <= end for begin, end in when.get(seen.version, ()))


def latencies(seen: Sequence[Seen]) -> dict[str, float]:
    """Times from sending to answer in milliseconds; empty if there was no answer."""
    if not seen:
        return {}
    taken = np.array([each.answered - each.sent for each in seen]) * _MILLI
    return dict(zip(("p50", "p95", "p99", "max"), np.percentile(taken, (50, 95, 99, 100)).tolist(), strict=True))


def gap(seen: Sequence[Seen]) -> float:
    """The longest time in which no client got an answer, in milliseconds."""
    moments = np.sort([each.answered for each in seen])
    return float(np.diff(moments).max(initial=0.0)) * _MILLI


PACKAGES = ("torch", "fastapi", "starlette", "uvicorn", "httpx2")
_PATIENCE = "30"  # seconds a prediction may take: swaps are tried here, not how fast a shared machine is


@dataclass(frozen=True, slots=True)
class Plan:
    """Durations, the number of clients, and the period of changes."""

    seconds: float = 600.0  # of swapping
    quiet: float = 30.0  # seconds before, in which nothing changes
    clients: int = 32
    period: float = 1.0  # seconds from one change to the next


QUICK = Plan(seconds=20.0, quiet=3.0)


async def load(url: str, material: Material, swapper: Swapper, plan: Plan) -> tuple[Log, Log]:
    """Ask in quiet, then under swaps; returns both logs."""
    quiet, swapped = Log(), Log()
    async with asking(url, material, plan.clients, quiet):
        await asyncio.sleep(plan.quiet)
    async with asking(url, material, plan.clients, swapped):
        await asyncio.to_thread(swapper.run, plan.seconds, plan.period)
    return quiet, swapped


def run(plan: Plan) -> dict[str, object]:
    """Start a server, load it, swap, and judge; returns everything measured, as JSON values."""
    result = {**context(PACKAGES), "plan": {name: getattr(plan, name) for name in Plan.__slots__}}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder), options=["--request-seconds", _PATIENCE, *EXACT]) as server,
        Client(server.url) as client,
    ):
        material = prepare(client)
        swapper = Swapper(client, material)
        started = time.monotonic()
        quiet, swapped = asyncio.run(load(server.url, material, swapper, plan))
        result |= {
            "seconds": time.monotonic() - started,
            "quiet": {"answers": len(quiet.seen), "latency_ms": latencies(quiet.seen)},
            "swapping": {
                "answers": len(swapped.seen),
                "latency_ms": latencies(swapped.seen),
                "longest_time_without_an_answer_ms": gap(swapped.seen),
            },
            **swapper.report(),
            **verdict([quiet, swapped], swapper.history, swapper.files),
        }
    return result


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; the exit status is 1 if any answer was missing or wrong."""
    parser = argparse.ArgumentParser(prog="tests.stress swaps", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--quick", action="store_true", help="20 seconds instead of 10 minutes")
    options = parser.parse_args(arguments)
    result = run(QUICK if options.quick else Plan())
    print(write_json(options.json, result))
    return int(result["harm"] != 0)
