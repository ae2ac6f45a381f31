"""The load, in a process of its own: a closed loop (clients wait for answers) or an open one (requests come anyway).

In the open loop a request's latency counts from when it was due, whether a connection was free then or not. Reads a
job in JSON from standard input, writes the figures to standard output. A connection speaks just enough HTTP/1.1
to send a prepared request and time its answer. It must cost little, because the load shares its machine with the
server.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from benchmarks.serving.figures import Call, arrivals, summary

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
OK = 200
LOST = 0  # instead of a status: the connection ended before the answer did

Answered = Callable[["Exchange", int, bytes], None]


class Exchange(asyncio.Protocol):
    """A connection with at most one request under way; it calls `answered` at the end of each."""

    def __init__(self, answered: Answered) -> None:
        """`answered` gets each answer; nothing is sent before `ask`."""
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._expected = -1  # bytes of the whole answer; unknown before its head is there
        self._asking = False

    @property
    def open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> None:
        """Send one request; the one before has been answered."""
        if not self._transport or self._asking:
            raise RuntimeError("not connected, or the answer before is still missing")
        self._asking = True
        self._transport.write(request)

    def close(self) -> None:
        """End the connection."""
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect an answer; report it when it is complete."""
        self._received += data
        if self._expected < 0:
            self._expected = _size(self._received)
        if 0 <= self._expected <= len(self._received):
            self._finish(int(self._received[9:12]), bytes(self._received))

    def connection_lost(self, exc: Exception | None) -> None:
        """Report an answer that will not come."""
        if self._asking:
            self._finish(LOST, bytes(self._received))

    def _finish(self, status: int, answer: bytes) -> None:
        self._received.clear()
        self._expected, self._asking = -1, False
        self._answered(self, status, answer.partition(_END_OF_HEAD)[2])


def _size(received: bytearray) -> int:
    """Bytes of the answer that begins like this; -1 where its head is not complete.

    Raises:
        ValueError: it does not say how long it is.
    """
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return -1
    head = bytes(received[:end]).lower()
    start = head.find(_LENGTH)
    if start < 0:
        raise ValueError("an answer without Content-Length cannot be timed")
    return end + len(_END_OF_HEAD) + int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0])


_PATIENCE = 60.0  # seconds for answers that are under way at the end
_MOST_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Job:
    """The instructions: `clients` for a closed loop, or `rate` (requests a second) for an open one.

    Attributes:
        requests: a file with prepared requests, as `save` writes it; they are sent in turn.
        warmup: seconds at the beginning that do not count.
        seconds: that count.
        answers: whether to report each answer and its latency, in the order in which they came.
    """

    port: int
    requests: str
    warmup: float
    seconds: float
    clients: int = 0
    rate: float = 0.0
    answers: bool = False

    @property
    def due(self) -> list[float]:
        """When the requests of an open loop are due, in seconds; the same for every job of this rate and length."""
        return arrivals(self.rate, self.warmup + self.seconds, seed=round(self.rate * 1e3)) if self.rate else []


@dataclass(slots=True)
class Tape:
    """The calls and the answers."""

    calls: list[Call] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)


class Load:
    """Sends prepared requests in turn over as many connections as it takes."""

    def __init__(self, job: Job, requests: Sequence[bytes]) -> None:
        self._job, self._requests, self.tape = job, requests, Tape()
        self._loop = asyncio.get_running_loop()
        self._start, self._next = 0.0, 0
        self._idle: list[Exchange] = []
        self._due: deque[float] = deque()  # of requests for which there is no connection yet
        self._pending: dict[Exchange, tuple[float, float]] = {}  # due, sent
        self._opening = 0
        self._quiet = asyncio.Event()

    async def closed(self) -> None:
        """Each client sends its next request when it has its answer."""
        await asyncio.gather(*(self._connect() for _ in range(self._job.clients)))
        self._start = time.perf_counter()
        while self._idle:
            self._send(self._idle.pop(), self._now())
        await self._settle(self._job.warmup + self._job.seconds + _PATIENCE)

    async def open(self) -> None:
        """Requests are sent when they are due."""
        self._start, begin = time.perf_counter(), self._loop.time()
        for due in self._job.due:
            await asyncio.sleep(begin + due - self._loop.time())
            self._arrive(due)
        await self._settle(_PATIENCE)

    async def _settle(self, seconds: float) -> None:
        """Wait until nothing is under way; what still is then was not answered."""
        while (self._pending or self._due) and seconds > 0:
            self._quiet.clear()
            start = time.perf_counter()
            try:
                async with asyncio.timeout(seconds):
                    await self._quiet.wait()
            except TimeoutError:
                break
            seconds -= time.perf_counter() - start
        lost = [*self._pending.values(), *((due, self._now()) for due in self._due)]
        self.tape.calls += [Call(due, sent, float("inf"), LOST) for due, sent in lost]
        for exchange in [*self._idle, *self._pending]:
            exchange.close()

    def _arrive(self, due: float) -> None:
        while self._idle:
            exchange = self._idle.pop()
            if exchange.open:  # servers close what has been idle for some seconds
                self._send(exchange, due)
                return
        self._due.append(due)
        if len(self._pending) + self._opening < _MOST_CONNECTIONS:
            self._opening += 1
            self._loop.create_task(self._open_one())

    async def _open_one(self) -> None:
        try:
            await self._connect()
        finally:
            self._opening -= 1
        while self._due and self._idle:
            self._send(self._idle.pop(), self._due.popleft())

    async def _connect(self) -> None:
        _, exchange = await self._loop.create_connection(lambda: Exchange(self._answered), "127.0.0.1", self._job.port)
        self._idle.append(exchange)

    def _send(self, exchange: Exchange, due: float) -> None:
        self._pending[exchange] = due, self._now()
        exchange.ask(self._requests[self._next % len(self._requests)])
        self._next += 1

    def _answered(self, exchange: Exchange, status: int, body: bytes) -> None:
        now, (due, sent) = self._now(), self._pending.pop(exchange)
        self.tape.calls.append(Call(due, sent, now if status == OK else float("inf"), status))
        if self._job.answers:
            self.tape.bodies.append(body.decode())
        self._go_on(exchange, now)
        if not self._pending:
            self._quiet.set()

    def _go_on(self, exchange: Exchange, now: float) -> None:
        more = self._job.clients and now < self._job.warmup + self._job.seconds
        if not exchange.open:
            return
        if more:
            self._send(exchange, now)
        elif self._due:
            self._send(exchange, self._due.popleft())
        else:
            self._idle.append(exchange)

    def _now(self) -> float:
        return time.perf_counter() - self._start


async def perform(job: Job) -> dict[str, object]:
    """Do a job; returns its figures, the share of a core that this process took, and the answers if they are wanted."""
    load = Load(job, read(Path(job.requests)))
    wall, cpu = time.perf_counter(), time.process_time()
    await (load.closed() if job.clients else load.open())
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    calls = load.tape.calls
    told: dict[str, object] = {"sent": len(calls), **summary(calls, warmup=job.warmup, seconds=job.seconds)}
    if job.answers:
        told |= {"bodies": load.tape.bodies, "latencies_ms": [call.latency * 1e3 for call in calls]}
    return {**told, "client_cpu_share": share}


def save(requests: Sequence[bytes], path: Path) -> None:
    """Write prepared requests, each behind its length."""
    path.write_bytes(b"".join(len(request).to_bytes(4, "little") + request for request in requests))


def read(path: Path) -> list[bytes]:
    """The requests that `save` wrote."""
    data, requests, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        requests.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return requests


def as_json(job: Job) -> str:
    """A job as `main` reads it."""
    return json.dumps(asdict(job))


def main() -> None:
    """Standard input to standard output."""
    json.dump(uvloop.run(perform(Job(**json.load(sys.stdin)))), sys.stdout)


if __name__ == "__main__":
    main()
