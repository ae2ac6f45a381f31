"""A bounded line of jobs before a few threads, seen from the event loop. Knows nothing of what the jobs do."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from service.errors import Overloaded

T = TypeVar("T")


class Line:
    """Runs jobs off the event loop; the one too many is refused, not kept waiting."""

    def __init__(self, name: str, *, threads: int, backlog: int, refusal: Callable[[], Overloaded]) -> None:
        """Start nothing yet; `backlog` is the most jobs that may wait or run."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._backlog, self._refusal, self._waiting = backlog, refusal, 0

    @property
    def pool(self) -> Executor:
        """The threads themselves, for a job that must not be refused."""
        return self._pool

    async def run(self, job: Callable[[], T]) -> T:
        """The result of a job.

        Raises:
            Overloaded: the line is full; or whatever the job raises.
        """
        if self._waiting >= self._backlog:
            raise self._refusal()
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, job)
        future.add_done_callback(self._leave)
        return await future

    def close(self, *, wait: bool) -> None:
        """Give up the jobs that have not begun; `wait` for those that have."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _leave(self, _: object) -> None:
        self._waiting -= 1
