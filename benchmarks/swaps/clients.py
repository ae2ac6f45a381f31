"""Clients that ask without a pause, never twice for one answer, and write down what came."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.swaps.material import TASK, Material
from service.client import AsyncClient, ClientError, Refused, RetryPolicy
from service.client.predict_calls import predict

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
    """What all clients got."""

    seen: list[Seen] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)  # by status and code, or by how the connection failed


@asynccontextmanager
async def asking(url: str, material: Material, clients: int, log: Log) -> AsyncIterator[None]:
    """While the block runs, so many clients ask; on leaving it each gets its last answer."""
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
