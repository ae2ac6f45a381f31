"""Bounded work off the event loop: a limit on what runs at once, and a thread pool behind such a limit.

Work beyond the limit is refused at once, so no queue grows without bound.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

from service.errors import Overloaded
from service.telemetry.logs import carried

T = TypeVar("T")
Refusal = Callable[[], Overloaded]


class Slots:
    """A limit on how many things may be under way at once. Belongs to the event loop."""

    def __init__(self, limit: int, refusal: Refusal) -> None:
        """No slot is taken at first. `refusal` makes the error that is raised beyond `limit`."""
        self._limit, self._refusal, self._taken = limit, refusal, 0

    def take(self) -> None:
        """Take a slot, or raise the error of `refusal`."""
        if self._taken >= self._limit:
            raise self._refusal()
        self._taken += 1

    def release(self) -> None:
        """Give a slot back."""
        self._taken -= 1

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot inside, or raise the error of `refusal`."""
        self.take()
        try:
            yield
        finally:
            self.release()


def started_pool(name: str, threads: int, initializer: Callable[[], None] | None = None) -> ThreadPoolExecutor:
    """A pool whose threads have all been started: later, short memory could prevent it.

    Args:
        name: prefix of the threads' names.
        threads: of the pool, at all times.
        initializer: called in each.

    Raises:
        MemoryError: there is no room for a thread.
    """
    pool, all_there = ThreadPoolExecutor(threads, name, initializer), Barrier(threads)
    try:
        for _ in range(threads):
            pool.submit(all_there.wait)  # none is free for the next job before all are there
    except RuntimeError as error:
        all_there.abort()
        pool.shutdown(wait=False, cancel_futures=True)
        raise MemoryError("no thread could be started") from error
    return pool


class BoundedExecutor:
    """Runs jobs in a few threads; at most `backlog` jobs wait or run."""

    def __init__(self, name: str, *, threads: int, backlog: int, refusal: Refusal) -> None:
        """Start the threads; `name` is the prefix of their names."""
        self._pool = started_pool(name, threads)
        self._slots = Slots(backlog, refusal)

    @property
    def pool(self) -> Executor:
        """The threads themselves, for a job that must not be refused."""
        return self._pool

    async def run(self, job: Callable[[], T]) -> T:
        """The result of a job.

        Raises:
            Overloaded: the backlog is full. Errors of the job are raised too.
        """
        self._slots.take()
        future = asyncio.get_running_loop().run_in_executor(self._pool, carried(job))
        future.add_done_callback(lambda _: self._slots.release())  # when the thread is free, not when the caller left
        return await future

    def close(self, *, wait: bool) -> None:
        """Give up the jobs that have not begun; `wait` for those that have."""
        self._pool.shutdown(wait=wait, cancel_futures=True)
