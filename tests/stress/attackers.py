"""Attackers as asynchronous clients, in a process of their own: `python -m tests.stress.attackers < job.json`.

Each attacker keeps to its attack until the time is over, and counts the answers it gets. It uses little processor time,
because it shares the machine with the server. Its figures contain the share of a core that it used.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

import uvloop

from tests.attacks import adapters, images, requests
from tests.attacks.corpus import attacks
from tests.attacks.requests import INFER, PREDICT, request
from tests.stress.wire import SILENT, Reply, ask, connect, exchange, read

JPEG, PNG, JSON = "Content-Type: image/jpeg", "Content-Type: image/png", "Content-Type: application/json"
LIVE = request("GET", "/health/live")
_PATIENCE = 30.0  # seconds for one answer
_CHUNK_PAUSE = 0.002  # seconds between bursts of 1-byte chunks
_DRIP_SECONDS = 1.0
LARGE = 2**20  # bytes of a request that is an attack of its own
_FAULTS = (OSError, EOFError, ValueError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Job:
    """Which attack, on which server, for how long; `predict` and `manage` are the keys."""

    name: str
    port: int
    predict: str
    manage: str
    seconds: float


@dataclass(slots=True)
class Attacker:
    """One attack under way."""

    job: Job
    statuses: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    closes: int = 0  # connections that the server closed
    longest_held: float = 0.0  # seconds that a held connection stayed open, at most
    start: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> float:
        """The end of the attack."""
        return self.start + self.job.seconds

    @property
    def running(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.end

    def count(self, reply: Reply) -> None:
        """Count an answer."""
        self.statuses[reply.name] += 1

    def held(self, opened: float, *, closed: bool) -> None:
        """Note how long a connection was held, and whether the server closed it."""
        self.closes += closed
        self.longest_held = max(self.longest_held, time.monotonic() - opened)

    def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send without waiting."""
        writer.write(data)
        self.bytes_sent += len(data)


Attack = Callable[[Attacker], Awaitable[None]]  # makes its bytes when called; nothing is sent before it is awaited


async def repeated(data: bytes, attacker: Attacker, *, clients: int = 1, pause: float = 0.0) -> None:
    """`clients` clients that send the same request again and again, each on a new connection."""

    async def client() -> None:
        while attacker.running:
            attacker.bytes_sent += len(data)
            seconds = min(_PATIENCE, max(1.0, attacker.end - time.monotonic()))
            attacker.count(await exchange(attacker.job.port, data, seconds=seconds))
            await asyncio.sleep(pause)

    await asyncio.gather(*(client() for _ in range(clients)))


def image(make: Callable[[], bytes], attacker: Attacker) -> Awaitable[None]:
    """A bad image, sent again and again by two clients, at most four times a second together."""
    return repeated(request("POST", PREDICT, make(), JPEG, key=attacker.job.predict), attacker, clients=2, pause=0.5)


def body(make: Callable[[], bytes], attacker: Attacker, *, path: str = PREDICT) -> Awaitable[None]:
    """A bad JSON body, sent likewise."""
    return repeated(request("POST", path, make(), JSON, key=attacker.job.predict), attacker, clients=2, pause=0.5)


async def small_chunks(attacker: Attacker, *, key: bool) -> None:
    """One connection after the other that sends its body in chunks of one byte, about 0.7 MiB of chunks a second."""
    lines = ["POST " + PREDICT + " HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", PNG]
    lines += [f"Authorization: Bearer {attacker.job.predict}"] if key else []
    head, burst = ("\r\n".join(lines) + "\r\n\r\n").encode(), requests.chunk(b"x") * 250
    while attacker.running:
        with suppress(*_FAULTS):
            reader, writer = await connect(attacker.job.port)
            attacker.write(writer, head)
            answer = asyncio.ensure_future(read(reader))
            while attacker.running and not writer.is_closing() and not reader.at_eof():
                attacker.write(writer, burst)
                await writer.drain()
                await asyncio.sleep(_CHUNK_PAUSE)
            writer.close()
            attacker.count(await asyncio.wait_for(answer, 1.0) if answer.done() else Reply(SILENT))
            answer.cancel()


async def held(attacker: Attacker, count: int, begin: bytes, drip: bytes = b"") -> None:
    """`count` connections that send `begin`, then `drip` every second, and stay; a closed one is opened again."""

    async def one() -> None:
        while attacker.running:
            try:
                reader, writer = await connect(attacker.job.port)
            except OSError:
                await asyncio.sleep(_DRIP_SECONDS)
                continue
            attacker.write(writer, begin)
            await _stay(attacker, reader, writer, drip)

    await asyncio.gather(*(one() for _ in range(count)))


async def _stay(attacker: Attacker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drip: bytes) -> None:
    """Keep one connection open until the server closes it or the time is over."""
    opened, data = time.monotonic(), None
    while attacker.running and data != b"":
        data = await _received(reader)
        if data is None and drip:
            attacker.write(writer, drip)
    attacker.held(opened, closed=data == b"")
    writer.close()


async def _received(reader: asyncio.StreamReader) -> bytes | None:
    """Bytes that came within a second, empty at the end of the connection; None if nothing came."""
    try:
        async with asyncio.timeout(_DRIP_SECONDS):
            return await reader.read(4096)
    except TimeoutError:
        return None
    except OSError:
        return b""


async def unread(attacker: Attacker, data: bytes, *, clients: int, times: int) -> None:
    """Clients that send `times` pipelined requests and never read an answer."""

    async def one() -> None:
        with suppress(*_FAULTS):
            reader, writer = await connect(attacker.job.port)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(times):
                if not attacker.running or writer.is_closing():
                    break
                attacker.write(writer, data)
                async with asyncio.timeout(max(0.1, attacker.end - time.monotonic())):
                    await writer.drain()
            await asyncio.sleep(max(0.0, attacker.end - time.monotonic()))
            writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(clients)))


async def pipelined(attacker: Attacker, *, clients: int = 4, depth: int = 200) -> None:
    """Clients that send many small GETs at once and read the answers."""

    async def one() -> None:
        while attacker.running:
            with suppress(*_FAULTS):
                reader, writer = await connect(attacker.job.port)
                attacker.write(writer, LIVE * depth)
                for _ in range(depth):
                    attacker.count(await asyncio.wait_for(read(reader), _PATIENCE))
                writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


async def wrong_keys(attacker: Attacker, *, clients: int = 8) -> None:
    """Requests with wrong keys on kept connections, about 1,000 a second."""
    data = request("GET", "/v1/tasks", b"", key="wrong-wrong-wrong-00")

    async def one() -> None:
        while attacker.running:
            with suppress(*_FAULTS):
                reader, writer = await connect(attacker.job.port)
                while attacker.running and not reader.at_eof():
                    attacker.count(await asyncio.wait_for(ask(reader, writer, data), _PATIENCE))
                    await asyncio.sleep(clients / 1000)
                writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


def mixed(attacker: Attacker) -> Awaitable[None]:
    """All attacks of the corpus that are neither heavy nor large, one after the other, about two a second."""
    made = (each.build(attacker.job.predict, attacker.job.manage) for each in attacks() if not each.heavy)
    return in_turn([data for data in made if len(data) < LARGE], attacker, pause=0.5)


async def in_turn(requests: Sequence[bytes], attacker: Attacker, *, pause: float) -> None:
    """One request after the other, each on a new connection."""
    for data in cycle(requests):
        if not attacker.running:
            return
        attacker.bytes_sent += len(data)
        attacker.count(await exchange(attacker.job.port, data, seconds=_PATIENCE))
        await asyncio.sleep(pause)


def false_adapters(attacker: Attacker) -> Awaitable[None]:
    """Adapter files with a header of 300,000 empty tensors."""
    data = request("PUT", "/v1/tasks/attacked", adapters.empty_tensors(), key=attacker.job.manage)
    return repeated(data, attacker, pause=0.2)


def _slow_head(attacker: Attacker) -> Awaitable[None]:
    return held(attacker, 500, b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"a")


def _slow_body(attacker: Attacker) -> Awaitable[None]:
    start = request("POST", PREDICT, b"", "Content-Length: 100000", PNG, key=attacker.job.predict)
    return held(attacker, 500, start.replace(b"Content-Length: 0\r\n", b""), b"a")


def _idle(attacker: Attacker) -> Awaitable[None]:
    return held(attacker, 950, LIVE)


def _unread_tasks(attacker: Attacker) -> Awaitable[None]:
    return unread(
        attacker, request("GET", "/v1/tasks/digits/versions/1/file", key=attacker.job.manage), clients=60, times=60
    )


def _unread_health(attacker: Attacker) -> Awaitable[None]:
    return unread(attacker, LIVE * 500, clients=20, times=2000)


def _sixteen() -> bytes:
    return requests.base64_images(*[images.flat_png()] * 16)


ATTACKS: Mapping[str, tuple[str, Attack]] = {
    "progressive": ("two 1 MB JPEGs of 16 MP with 32,000 scans", lambda a: image(images.progressive_scans, a)),
    "png_chunks": ("PNGs with 800,000 empty chunks", lambda a: image(images.png_empty_chunks, a)),
    "jpeg_markers": ("JPEGs with 2,500,000 empty segments", lambda a: image(images.jpeg_empty_markers, a)),
    "photoshop": ("JPEGs with 800,000 Photoshop records", lambda a: image(images.jpeg_photoshop_records, a)),
    "sixteen_images": ("sixteen 16-MP images in one JSON request", lambda a: body(_sixteen, a)),
    "small_chunks": ("a body in 1-byte chunks, with a key", partial(small_chunks, key=True)),
    "small_chunks_no_key": ("the same without a key", partial(small_chunks, key=False)),
    "slow_headers": ("500 connections that send a header byte a second", _slow_head),
    "slow_bodies": ("500 uploads of a byte a second", _slow_body),
    "unread_files": ("60 clients that ask for files and never read", _unread_tasks),
    "unread_health": ("20 clients that pipeline health checks and never read, without a key", _unread_health),
    "pipelined": ("4 clients that pipeline health checks, without a key", pipelined),
    "idle": ("950 idle connections after one health check, without a key", _idle),
    "wrong_keys": ("1,000 wrong keys a second", wrong_keys),
    "long_string": ("JSON strings of 33 MB", lambda a: body(requests.long_string, a)),
    "spaces": ("v2 requests with 6 MiB of spaces", lambda a: body(requests.spaced_v2, a, path=INFER)),
    "false_adapters": ("adapter files with 300,000 empty tensors", false_adapters),
    "mixed": ("every small attack of the corpus, a tenth of the traffic", mixed),
}


async def perform(job: Job) -> dict[str, Any]:
    """Attack; returns the answers by status, what was sent, and the share of a core that this process used."""
    attacker = Attacker(job)
    attack = ATTACKS[job.name][1](attacker)
    attacker.start = time.monotonic()
    print("begins", flush=True)
    wall, cpu = time.monotonic(), time.process_time()
    with suppress(TimeoutError):
        async with asyncio.timeout(job.seconds + 5):
            await attack
    return {
        "statuses": dict(attacker.statuses),
        "bytes_sent": attacker.bytes_sent,
        "closed": attacker.closes,
        "longest_held_s": attacker.longest_held,
        "client_cpu_share": (time.process_time() - cpu) / (time.monotonic() - wall),
    }


def as_json(job: Job) -> str:
    """A job as `main` reads it."""
    return json.dumps(asdict(job))


def main() -> None:
    """Standard input to standard output."""
    job = Job(**json.load(sys.stdin))
    told: Mapping[str, Any] = uvloop.run(perform(job))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
