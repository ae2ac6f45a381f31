"""The one thread that computes: takes what waits, runs it, hands the outcomes over. Knows no event loop."""

import threading
import time
from collections.abc import Callable, Sequence

from service.engine.core import Row
from service.engine.errors import QueueFull
from service.engine.isolation import Runner, run_isolated
from service.engine.limits import Limits
from service.engine.queueing import Done, FairQueue, Item, Request


class Worker:
    """Computes queued rows in batches, fairly between tasks.

    It takes its next batch only when it is free: while it is busy the batch to come fills by itself.
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
            deliver: told what became of each batch; called in the thread.
            died: told why the thread ended, unless it was asked to; called in the thread.
        """
        self._engine, self._deliver, self._died = engine, deliver, died
        self._limits = limits
        self._queue = FairQueue()
        self._wake = threading.Condition()  # guards the queue and `_stopping`; held for pointer moves only
        self._stopping = False
        self._busy_since: float | None = None
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
        """Wait for the thread's end; False where it did not come in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def queued(self) -> int:
        """Rows that wait."""
        return len(self._queue)

    def busy_for(self) -> float:
        """Seconds since the batch being computed began; 0 where none is."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Queue the rows of a request, all or none.

        Raises:
            QueueFull: they do not fit beside those that wait.
        """
        with self._wake:
            if len(self._queue) + len(rows) > self._limits.queue_images:
                raise QueueFull(f"{len(self._queue)} of {self._limits.queue_images} images wait already")
            self._queue.put(rows, request)
            self._wake.notify()

    def discard(self, request: Request) -> None:
        """Free the places of a request that nobody waits for any more."""
        with self._wake:
            self._queue.discard(request)

    def _main(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # whatever it is, somebody must hear of it
            self._died(error)

    def _step(self) -> bool:
        """Take a batch and compute it; False when the thread shall end."""
        # A function of its own, so that an idle thread holds no rows and no evicted weights through them.
        batch = self._take()
        if batch:
            self._compute(batch)
        return bool(batch)

    def _take(self) -> list[Item]:
        """The next batch; waits for one. Empty when the thread shall end."""
        with self._wake:
            while not self._stopping:
                if batch := self._queue.take(self._limits.batch_images, now=time.monotonic()):
                    return batch
                self._wake.wait()
        return []

    def _compute(self, batch: Sequence[Item]) -> None:
        self._busy_since = start = time.monotonic()
        outcomes = run_isolated(self._engine, [item.row for item in batch])
        self._busy_since = None
        self._deliver(Done(list(zip(batch, outcomes, strict=True)), start, time.monotonic() - start))
