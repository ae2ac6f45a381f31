"""Good traffic in a process of its own: predictions at a fixed rate, half on kept connections, half on new ones.

Latency counts from the moment a request was due, so that a server that stalls cannot hide it. The process reads a job
in JSON from standard input and writes its figures to standard output.
"""

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.serving.load import read
from tests.stress.wire import CLOSED, LOST, SILENT, Reply, reply_of

OK = 200


@dataclass(frozen=True, slots=True)
class Job:
    """The requests to send, and their timing.

    Attributes:
        requests: a file of prepared requests, as `benchmarks.serving.load.save` writes it.
        rate: requests a second, as a Poisson process.
        seconds: of sending.
        patience: seconds until a request counts as unanswered.
        fresh: share of requests on new connections.
        clients: kept connections that are open before the first request, each known by an answer; used in turn.
        cancelled: share of requests whose client closes the connection after a random moment.
        window: seconds of which each gets a p99 of its own, by when requests were due: one stall of a machine that
            others use as well then spoils one window, not the whole.
    """

    port: int
    requests: str
    rate: float
    seconds: float
    patience: float = 20.0
    fresh: float = 0.5
    clients: float = 0
    cancelled: float = 0.0
    window: float = 2.0


@dataclass(slots=True)
class Log:
    """Answers by status, and latencies of good answers in seconds, by kind of connection."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"kept": [], "new": []})
    refusals: list[float] = field(default_factory=list)  # seconds until a 503
    given_up: int = 0
    in_time: int = 0  # good answers that came before the sending ended
    windows: dict[int, list[float]] = field(default_factory=dict)  # latencies of good answers by number of the window

    def add(self, kind: str, reply: Reply, seconds: float, *, window: int = 0) -> None:
        """Count one answer to a request that was due in a window."""
        self.statuses[reply.name] += 1
        if reply.status == OK:
            self.latencies[kind].append(seconds)
            self.windows.setdefault(window, []).append(seconds)
        elif reply.status == 503:
            self.refusals.append(seconds)

    def figures(self, job: Job) -> dict[str, Any]:
        """Everything as JSON values; times in milliseconds, None if there is no value."""
        every = [value for values in self.latencies.values() for value in values]
        sent = sum(self.statuses.values())
        return {
            "job": {key: value for key, value in asdict(job).items() if key not in ("port", "requests")},
            "sent": sent,
            "statuses": dict(self.statuses),
            "failed": sent - len(every),
            "given_up": self.given_up,
            "answered_per_second": self.in_time / job.seconds,
            **quantiles(every),
            "windows_p99_ms": [quantiles(self.windows[number])["p99_ms"] for number in sorted(self.windows)],
            "kept": quantiles(self.latencies["kept"]),
            "new": quantiles(self.latencies["new"]),
            "refusals": quantiles(self.refusals),
        }


def quantiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Median, 99th percentile and largest value, in milliseconds."""
    ordered = sorted(seconds)
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: 1e3 * ordered[ceil(share * len(ordered)) - 1] if ordered else None for name, share in shares.items()}


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way. It costs little: the server shares its processor."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """A connection to the server."""
        return (await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port))[1]

    @property
    def open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, data: bytes) -> Reply:
        """Send a request and get its answer.

        Raises:
            EOFError, ValueError: the connection ended, or this is no HTTP.
        """
        if not self.open or self._transport is None:
            raise EOFError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand out an answer that is complete."""
        self._received += data
        if self._answer is None or self._answer.done():
            return
        try:
            if (reply := reply_of(self._received)) is not None:
                self._received.clear()
                self._answer.set_result(reply)
        except ValueError as error:
            self._answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """No answer will come."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(EOFError())


class Traffic:
    """Sends requests when they are due."""

    def __init__(self, job: Job, requests: Sequence[bytes]) -> None:
        self._job, self._requests, self._dice = job, requests, random.Random(0)
        self._idle: deque[Connection] = deque()
        self._start = self._end = 0.0
        self.log = Log()

    async def run(self) -> None:
        """Send for so long, or until SIGTERM, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        await self._open()
        start, due = loop.time(), 0.0
        self._start, self._end = start, start + self._job.seconds
        over = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, over.set)
        async with asyncio.TaskGroup() as group:
            while (due := due + self._dice.expovariate(self._job.rate)) < self._job.seconds and not over.is_set():
                await asyncio.sleep(start + due - loop.time())
                group.create_task(self._one(start + due))
        for connection in self._idle:
            connection.close()

    async def _open(self) -> None:
        """Open the connections that must be there, a few at a time; each shows its key, and is answered."""

        async def one() -> None:
            while len(self._idle) < self._job.clients:
                try:
                    await self._ask("kept", self._requests[0], new=True)
                except (OSError, EOFError):
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(one() for _ in range(min(8, int(self._job.clients)))))

    async def _one(self, due: float) -> None:
        kind = "new" if self._dice.random() < self._job.fresh else "kept"
        gives_up = self._dice.random() < self._job.cancelled
        patience = self._dice.uniform(0, 0.1) if gives_up else self._job.patience
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(due + patience):
                reply = await self._ask(kind, self._dice.choice(self._requests))
        except TimeoutError:
            reply = Reply(SILENT)
        except ConnectionRefusedError:
            reply = Reply(CLOSED)
        except (OSError, EOFError, ValueError):
            reply = Reply(LOST)
        if gives_up and reply.status == SILENT:
            self.log.given_up += 1
        else:
            self.log.add(kind, reply, loop.time() - due, window=int((due - self._start) // self._job.window))
            self.log.in_time += reply.status == OK and loop.time() <= self._end

    async def _ask(self, kind: str, data: bytes, *, new: bool = False) -> Reply:
        connection = (self._kept() if kind == "kept" and not new else None) or await Connection.to(self._job.port)
        try:
            reply = await connection.ask(data)
        except BaseException:
            connection.close()
            raise
        if kind == "kept" and not reply.last:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.popleft() if self._job.clients else self._idle.pop()
            if connection.open:
                return connection
        return None


async def perform(job: Job) -> dict[str, Any]:
    """Do a job; returns its figures, and the share of a core that this process used."""
    traffic = Traffic(job, read(Path(job.requests)))
    wall, cpu = time.monotonic(), time.process_time()
    await traffic.run()
    share = (time.process_time() - cpu) / (time.monotonic() - wall)
    return {**traffic.log.figures(job), "client_cpu_share": share}


def as_json(job: Job) -> str:
    """A job as `main` reads it."""
    return json.dumps(asdict(job))


def main() -> None:
    """Standard input to standard output."""
    told: Mapping[str, Any] = uvloop.run(perform(Job(**json.load(sys.stdin))))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
