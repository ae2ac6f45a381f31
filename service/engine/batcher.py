"""The asyncio front of the engine: answers rows, with deadlines, cancellation, drain and a watch on the thread.

No batch waits for more rows: an idle engine starts at once, and rows that arrive while it is busy form the next batch.
Nothing polls. This file knows rows; it knows neither HTTP nor task names.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Protocol

from service.engine.core import Row, RowResult
from service.engine.errors import DeadlineExceeded, Draining, EngineDown, EngineError, RequestTooLarge
from service.engine.queueing import DEFAULT_PRIORITY, Done, Exemplars, Request
from service.engine.worker import Limits, Runner, Worker


class Phase(Enum):
    """The phases of a batcher's life."""

    NEW = "not started"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    DEAD = "dead"

    def check(self) -> None:
        """Raise if no rows are taken in this phase.

        Raises:
            Draining, EngineDown: by phase.
        """
        if self in _REFUSALS:
            raise _REFUSALS[self](f"the engine is {self.value}")


_REFUSALS: dict[Phase, type[EngineError]] = {
    Phase.NEW: EngineDown,
    Phase.DEAD: EngineDown,
    Phase.DRAINING: Draining,
    Phase.STOPPED: Draining,
}


class Stats(Protocol):
    """Gets a call for each batch, on the event loop."""

    def on_batch(
        self, images: int, tasks: int, seconds: float, waits: Sequence[float], exemplars: Exemplars | None
    ) -> None:
        """A batch of `images` rows of `tasks` distinct adapters took `seconds`; its rows had waited for `waits`."""
        ...


class Batcher:
    """Answers rows with one engine, in batches of queued rows. All methods belong to one event loop."""

    _loop: asyncio.AbstractEventLoop  # the one that `start` ran on

    def __init__(
        self,
        engine: Runner,
        limits: Limits | None = None,
        *,
        stats: Stats | None = None,
        on_death: Callable[[BaseException], None] | None = None,
        on_done: Callable[[Done], Exemplars | None] | None = None,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            engine: computes the batches, in a thread of its own.
            limits: of queue, batch and waiting; None: the defaults of `Limits`.
            stats: gets a call for each batch.
            on_death: called once, on the event loop, when the engine's thread dies or hangs.
            on_done: called for each batch before its answers are handed out; what it returns goes to `stats`.
        """
        self._limits, self._stats = limits or Limits(), stats
        self._on_death, self._on_done = on_death, on_done
        self._phase = Phase.NEW
        self._coming = 0  # rows that were announced and are being prepared
        self._pending: set[Request] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._looked = self._stalled = 0.0  # when the watch last looked; seconds that a batch was overdue then
        self._worker = Worker(
            engine,
            self._limits,
            deliver=lambda done: self._post(lambda: self._deliver(done)),
            died=lambda error: self._post(lambda: self._die(error)),
        )

    def start(self) -> None:
        """Start the engine's thread, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._phase = Phase.RUNNING
        self._worker.start()

    @property
    def healthy(self) -> bool:
        """Whether the engine's thread is there to compute; still true while draining."""
        return self._phase in (Phase.RUNNING, Phase.DRAINING)

    def check_room(self) -> None:
        """See whether one more row would fit now, beside those that wait and those that are being prepared.

        Raises:
            QueueFull: it would not.
        """
        self._worker.check_room(self._coming + 1)

    @property
    def queued(self) -> int:
        """Rows that wait."""
        return self._worker.queued

    async def submit(
        self,
        rows: Sequence[Row],
        *,
        deadline: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        origin: object = None,
    ) -> list[RowResult]:
        """Answer rows, in their order. Cancelling frees their places in the queue.

        Args:
            rows: of any mix of tasks.
            deadline: in `time.monotonic` seconds; no answer comes after it, and rows still queued are not computed.
            priority: rows of a smaller number are computed before all others that wait.
            origin: as of `Request`.

        Raises:
            QueueFull, TooMuchAhead, RequestTooLarge, Draining, EngineDown, DeadlineExceeded: not answered at all.
            RowFailed: one of the rows cannot be computed.
        """
        self._refuse(len(rows), deadline)
        if not rows:
            return []
        future, now = self._loop.create_future(), time.monotonic()
        request = Request(future, len(rows), since=now, deadline=deadline, priority=priority, origin=origin)
        self._worker.put(rows, request)
        self._pending.add(request)
        self._keep_watch()
        try:
            return await self._answer(request)
        except BaseException:
            self._worker.discard(request)
            raise
        finally:
            self._pending.discard(request)

    @contextmanager
    def coming(self, rows: int) -> Iterator[None]:
        """Announce rows that are being prepared, so that rows that would not fit are refused before that work.

        Raises:
            QueueFull: they do not fit beside those that wait and those that others have announced.
            RequestTooLarge, Draining, EngineDown: as of `submit`.
        """
        self._refuse(rows, None)
        self._worker.check_room(self._coming + rows)
        self._coming += rows
        try:
            yield
        finally:
            self._coming -= rows

    def _refuse(self, images: int, deadline: float | None) -> None:
        self._phase.check()
        if images > self._limits.queue_images:
            most = self._limits.queue_images
            raise RequestTooLarge(f"{images} images times tasks in one request, at most {most} can wait")
        if deadline is not None and deadline <= time.monotonic():
            raise DeadlineExceeded("the deadline had passed before the request was queued")

    async def _answer(self, request: Request) -> list[RowResult]:
        if request.deadline is None:
            return await request.future
        late = self._loop.call_later(request.deadline - time.monotonic(), _give_up, request)  # lighter than a timeout
        try:
            return await request.future
        finally:
            late.cancel()

    async def drain(self, timeout: float) -> bool:
        """Refuse new rows, finish all rows that are queued or in flight, and end the thread.

        Returns:
            Whether everything was finished within `timeout` seconds. Unfinished rows fail with Draining.
        """
        if not self.healthy:
            return self._phase is not Phase.DEAD
        self._phase = Phase.DRAINING
        return await self._finish(time.monotonic() + timeout)

    async def _finish(self, end: float) -> bool:
        futures = {request.future for request in self._pending}
        late = (await asyncio.wait(futures, timeout=end - time.monotonic()))[1] if futures else set()
        self._fail_pending(Draining, "shut down before the answer was there")
        self._worker.stop()
        ended = await asyncio.to_thread(self._worker.join, max(0.0, end - time.monotonic()))
        if self._phase is Phase.DEAD:
            return False
        self._phase = Phase.STOPPED
        return ended and not late

    def _deliver(self, done: Done) -> None:
        """Hand out the outcomes of one batch."""
        exemplars = self._on_done(done) if self._on_done is not None else None
        done.deliver()
        if self._stats and done.outcomes:
            items = [item for item, _ in done.outcomes]
            tasks = {item.row.resident.sha256 for item in items}
            waits = [done.started - item.request.since for item in items]
            self._stats.on_batch(len(items), len(tasks), done.seconds, waits, exemplars)

    def _die(self, error: BaseException) -> None:
        """Fail all pending requests with the reason; nothing can be computed any more."""
        if self._phase not in (Phase.RUNNING, Phase.DRAINING):
            return
        self._phase = Phase.DEAD
        self._worker.stop()
        self._fail_pending(EngineDown, "the engine died")
        if self._on_death:
            self._on_death(error)

    def _fail_pending(self, kind: type[EngineError], reason: str) -> None:
        for request in self._pending:
            request.fail(kind(reason))

    def _keep_watch(self) -> None:
        """Keep a timer running while a request waits or a batch is computed; an idle engine has none."""
        if self._watch is None and self.healthy and (self._pending or self._worker.busy_for()):
            self._looked = self._loop.time()
            self._watch = self._loop.call_later(self._step, self._look)

    @property
    def _step(self) -> float:
        """Seconds between looks."""
        return min(0.5, self._limits.stall_seconds / 5)

    def _look(self) -> None:
        self._watch = None
        # Only time in which this process ran counts: while it is frozen, neither looks nor batches go on.
        ran = min(self._loop.time() - self._looked, 2 * self._step)
        self._stalled = min(self._worker.overdue_for(), self._stalled + ran)
        if self._stalled >= self._limits.stall_seconds:
            self._die(TimeoutError(f"a batch is not done {self._stalled:.1f} s after it should have been"))
        self._keep_watch()

    def _post(self, callback: Callable[[], object]) -> None:
        """Call on the event loop, from the worker's thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _give_up(request: Request) -> None:
    request.fail(DeadlineExceeded("the deadline passed before the answer was there"))
