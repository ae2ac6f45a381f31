"""The one thread that computes: takes what waits, runs it, hands the outcomes over. Knows no event loop."""

import math
import threading
import time
from collections.abc import Callable, Sequence

from service.engine.core import Row
from service.engine.errors import QueueFull, TooMuchAhead
from service.engine.fair_queue import FairQueue, Taken
from service.engine.isolation import Runner, run_isolated
from service.engine.limits import Limits
from service.engine.pace import Pace, bulk_of
from service.engine.queueing import Done, Request


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

    def overdue_for(self) -> float:
        """Seconds since the batch being computed should have been done; 0 where none is, or it still has time."""
        since, until = self._busy_since, self._busy_until
        return 0.0 if since is None else max(0.0, time.monotonic() - max(since, until))

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Queue the rows of a request, all or none.

        Raises:
            QueueFull: they do not fit beside those that wait.
            TooMuchAhead: they would not be computed by their deadline.
        """
        with self._wake:
            self._refuse(rows, request)
            self._queue.put(rows, request)
            self._wake.notify()

    def check_room(self, rows: int) -> None:
        """See whether so many rows would fit now.

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
        if request.deadline is None or not self._queue:  # who is next is never refused: a model that errs must learn
            return
        images = self._queue.ahead(rows, request.priority) + bulk_of(rows)
        late = time.monotonic() + self._expected(images) - request.deadline
        if late > 0:
            raise TooMuchAhead("what waits already would make the answer come too late", seconds=late)

    def _expected(self, images: float) -> float:
        """Seconds until so many images will have been computed, after the batch that is computed now."""
        batches = math.ceil(images / self._limits.batch_images)
        busy = max(0.0, self._busy_until - time.monotonic()) if self._busy_since is not None else 0.0
        return busy + self._pace.seconds(images, batches)

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
        taken = self._take()
        if taken:
            self._compute(taken)
        return taken is not None

    def _take(self) -> Taken | None:
        """The next batch; waits for one. None when the thread shall end."""
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
            self._deliver(Done((), start, 0.0, taken.late))  # now, not after the batch: they may still ask elsewhere
        outcomes = run_isolated(self._engine, [item.row for item in taken.batch])
        self._busy_since, seconds = None, time.monotonic() - start
        if not any(isinstance(outcome, Exception) for outcome in outcomes):  # else it was computed in pieces
            self._pace.observe(taken.images, seconds)
        self._deliver(Done(list(zip(taken.batch, outcomes, strict=True)), start, seconds))
