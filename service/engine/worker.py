"""The thread that computes: it takes queued rows, runs them, and delivers the outcomes. It knows no event loop.

A batch that fails is halved until the rows that fail alone are found. `Pace` learns how long batches take, so that the
worker can refuse rows that would be answered too late.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.engine.core import Row, RowResult
from service.engine.errors import EngineLost, OutOfMemory, QueueFull, RowFailed, TooMuchAhead, is_out_of_memory
from service.engine.queueing import Done, FairQueue, Request, Taken, bulk_of

_FADE = 0.97  # weight of a batch against the one after it: about the last thirty count
_FEW = 8  # batches until the pace is estimated


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batcher.

    Attributes:
        queue_images: most rows that wait.
        batch_images: most images in one batch; rows of one image share its trunk.
        stall_seconds: if a batch takes this much longer than expected, the engine counts as hanging.

    Raises:
        ValueError: a bound is not positive.
    """

    queue_images: int = 256
    batch_images: int = 16
    stall_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Check the bounds: with a zero, nothing would ever be answered."""
        if min(self.queue_images, self.batch_images, self.stall_seconds) <= 0:
            raise ValueError(f"every limit must be positive, not {self}")


class Runner(Protocol):
    """Computes a batch: an engine."""

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer all rows, in order, or raise."""
        ...


def run_isolated(engine: Runner, rows: Sequence[Row], *, halved: bool = False) -> list[RowResult | RowFailed]:
    """Answer rows; a batch that fails is halved until the rows that fail alone are found.

    A batch that does not fit into memory is halved once. Further attempts would only keep other requests waiting.

    Args:
        engine: computes.
        rows: a batch.
        halved: whether it is a half of a batch that did not fit into memory.

    Raises:
        EngineLost: the device is gone.
    """
    try:
        return list(engine.run(rows))
    except EngineLost:
        raise
    except Exception as error:
        scarce = is_out_of_memory(error)
        if len(rows) == 1 or (scarce and halved):
            return [_failed(error) for _ in rows]
        half, halved = len(rows) // 2, halved or scarce
    return run_isolated(engine, rows[:half], halved=halved) + run_isolated(engine, rows[half:], halved=halved)


def _failed(cause: Exception) -> RowFailed:
    if is_out_of_memory(cause):
        failed: RowFailed = OutOfMemory("there is not enough memory for the forward pass")
    else:
        failed = RowFailed(f"this row makes the forward pass fail: {type(cause).__name__}")
    failed.__cause__ = cause
    return failed


class Pace:
    """The time of a batch: a·images + b seconds, a least-squares fit to the latest batches.

    Older batches fade, so the model follows a machine whose load changes. Before it has seen enough batches it
    estimates 0 seconds, so that nothing is refused on a guess. One thread writes it, any may read it.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._sums = [0.0] * 5  # of 1, images, seconds, images², images·seconds
        self._fit = (0.0, 0.0)  # a, b

    def observe(self, images: float, seconds: float) -> None:
        """Learn from a batch."""
        new = (1.0, images, seconds, images * images, images * seconds)
        self._sums = [_FADE * old + each for old, each in zip(self._sums, new, strict=True)]
        self._batches += 1
        if self._batches >= _FEW:
            self._fit = _straight_line(*self._sums)

    def seconds(self, images: float, batches: float = 1) -> float:
        """Seconds for this many images in this many batches."""
        slope, start = self._fit
        return slope * images + start * batches


def _straight_line(count: float, x: float, y: float, xx: float, xy: float) -> tuple[float, float]:
    """Slope and start of the line through the points, neither of them negative."""
    spread = count * xx - x * x
    slope = (count * xy - x * y) / spread if spread > 1e-6 * xx * count else y / x
    start = (y - slope * x) / count
    if start < 0:
        return xy / xx, 0.0
    return (slope, start) if slope >= 0 else (0.0, y / count)


class Worker:
    """Computes queued rows in batches, fairly between tasks.

    It takes its next batch only when it is free: while it is busy, the next batch fills.
    """

    def __init__(
        self,
        engine: Runner,
        limits: Limits,
        *,
        deliver: Callable[[Done], None],
        died: Callable[[BaseException], None],
    ) -> None:
        """Nothing runs before `start`.

        Args:
            engine: computes the batches.
            limits: of queue and batch.
            deliver: is called with the outcomes of each batch, in the thread.
            died: is called with the reason if the thread ends without `stop`, in the thread.
        """
        self._engine, self._deliver, self._died = engine, deliver, died
        self._limits = limits
        self._queue, self._pace = FairQueue(), Pace()
        self._wake = threading.Condition()  # guards the queue and `_stopping`; held for pointer moves only
        self._stopping = False
        self._busy_since: float | None = None
        self._busy_until = 0.0  # as expected
        # A daemon, so that a hung device cannot keep the process from ending.
        self._thread = threading.Thread(target=self._main, name="mimi-engine", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    def stop(self) -> None:
        """Take no further batch; the one being computed is finished and delivered."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; False if it did not come in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def queued(self) -> int:
        """Rows that wait."""
        return len(self._queue)

    def busy_for(self) -> float:
        """Seconds since the current batch began; 0 if there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def overdue_for(self) -> float:
        """Seconds by which the current batch is overdue; 0 if there is none, or if it still has time."""
        since, until = self._busy_since, self._busy_until
        return 0.0 if since is None else max(0.0, time.monotonic() - max(since, until))

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Queue the rows of a request, all or none.

        Raises:
            QueueFull: they do not fit into the queue.
            TooMuchAhead: they would not be computed by their deadline.
        """
        with self._wake:
            self._refuse(rows, request)
            self._queue.put(rows, request)
            self._wake.notify()

    def check_room(self, rows: int) -> None:
        """Check whether this many rows would fit now.

        Raises:
            QueueFull: they would not.
        """
        with self._wake:
            self._check_room(rows)

    def _check_room(self, rows: int) -> None:
        waiting, most = len(self._queue), self._limits.queue_images
        if waiting + rows > most:
            until = self._expected(waiting + rows - most)
            raise QueueFull(f"{waiting} of {most} images wait already", seconds=until)

    def _refuse(self, rows: Sequence[Row], request: Request) -> None:
        self._check_room(len(rows))
        if request.deadline is None or not self._queue:  # a wrong model of the pace must be able to learn
            return
        images = self._queue.ahead(rows, request.priority) + bulk_of(rows)
        late = time.monotonic() + self._expected(images) - request.deadline
        if late > 0:
            raise TooMuchAhead("what waits already would make the answer come too late", seconds=late)

    def _expected(self, images: float) -> float:
        """Seconds until this many images are computed, after the current batch."""
        batches = math.ceil(images / self._limits.batch_images)
        busy = max(0.0, self._busy_until - time.monotonic()) if self._busy_since is not None else 0.0
        return busy + self._pace.seconds(images, batches)

    def discard(self, request: Request) -> None:
        """Remove the rows of a request that is over."""
        with self._wake:
            self._queue.discard(request)

    def _main(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # a thread that dies silently would leave everybody waiting
            self._died(error)

    def _step(self) -> bool:
        """Take a batch and compute it; False when the thread is to end."""
        # A function of its own, so that an idle thread holds no rows and no evicted weights through them.
        taken = self._take()
        if taken:
            self._compute(taken)
        return taken is not None

    def _take(self) -> Taken | None:
        """The next batch; waits for one. None when the thread is to end."""
        with self._wake:
            while not self._stopping:
                now = time.monotonic()
                taken = self._queue.take(self._limits.batch_images, now=now, seconds=self._pace.seconds)
                if taken.batch:
                    self._busy_since, self._busy_until = now, now + self._pace.seconds(taken.images)
                    return taken
                self._wake.wait()
        return None

    def _compute(self, taken: Taken) -> None:
        start = time.monotonic()
        if taken.late:
            self._deliver(Done((), start, 0.0, taken.late))  # before the batch: their clients may still ask elsewhere
        outcomes = run_isolated(self._engine, [item.row for item in taken.batch])
        self._busy_since, seconds = None, time.monotonic() - start
        if not any(isinstance(outcome, Exception) for outcome in outcomes):  # else it was computed in pieces
            self._pace.observe(taken.images, seconds)
        self._deliver(Done(list(zip(taken.batch, outcomes, strict=True)), start, seconds))
