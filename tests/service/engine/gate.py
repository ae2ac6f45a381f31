"""A gate with which a test decides when a batch is computed: events to wait on, never time to sleep."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np

from service.engine import Batcher, Engine, Limits, Row, RowResult, Stats

PATIENCE = 30.0  # seconds until a test that waits for an event gives up

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Picture = Callable[[int], Pixels]
Ask = Callable[..., list[Row]]
Pending = asyncio.Task[list[RowResult]]


class Gate:
    """A real engine whose batches wait until `opened`; counts those that `reached` it, and remembers their rows.

    With an `error`, the batch is lost to it once the gate is open.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.error: BaseException | None = None
        self.batches: list[list[Row]] = []
        self.reached = threading.Semaphore(0)
        self.opened = threading.Event()

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        self.batches.append(list(rows))
        self.reached.release()
        self.opened.wait(PATIENCE)
        if self.error:
            raise self.error
        return self.engine.run(rows)


@asynccontextmanager
async def serving(
    gate: Gate,
    limits: Limits | None = None,
    *,
    stats: Stats | None = None,
    on_death: Callable[[BaseException], None] | None = None,
) -> AsyncIterator[Batcher]:
    """A started batcher over `gate`; at the end the gate is opened and the batcher drained."""
    batcher = Batcher(gate, limits, stats=stats, on_death=on_death)
    batcher.start()
    try:
        yield batcher
    finally:
        gate.opened.set()
        await batcher.drain(PATIENCE)


async def queue(batcher: Batcher, rows: list[Row]) -> Pending:
    """Submit in a task of its own, and let it run until its rows are queued."""
    task = asyncio.create_task(batcher.submit(rows))
    await asyncio.sleep(0)
    return task


async def occupy(batcher: Batcher, gate: Gate, rows: list[Row]) -> Pending:
    """Have the engine's thread hold a batch at the gate."""
    task = await queue(batcher, rows)
    assert await asyncio.to_thread(gate.reached.acquire, timeout=PATIENCE)
    return task


def classes(results: Sequence[list[RowResult]]) -> list[int]:
    """Class count of each single-row answer: tells the tasks apart."""
    return [len(result.logits) for (result,) in results]
