"""Rows that wait, and the requests they belong to: who is next, who gave up, which answers are still missing.

Plain data structures without locks, threads or clocks of their own; the batcher guards them.
"""

from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.core import Row, RowResult

Outcome = RowResult | Exception


class Request:
    """Who waits for `size` rows: one future, settled when the last answer or the first failure arrives.

    Belongs to the event loop's thread, but for `over`, which the worker may ask. Times are monotonic seconds.
    Holds none of its rows: the weights they point to are free as soon as the rows themselves are gone.
    """

    def __init__(
        self, future: "Future[list[RowResult]]", size: int, *, since: float, deadline: float | None = None
    ) -> None:
        self.future, self.size = future, size
        self.since, self.deadline = since, deadline
        self._answers: dict[int, RowResult] = {}

    def over(self, now: float) -> bool:
        """Whether nobody waits any more at time `now`: answered, failed, cancelled or too late."""
        return self.future.done() or (self.deadline is not None and self.deadline <= now)

    def settle(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of one row; results come back in the order of the rows, however they were batched."""
        if isinstance(outcome, Exception):
            self.fail(outcome)
            return
        self._answers[index] = outcome
        if len(self._answers) == self.size and not self.future.done():
            self.future.set_result([self._answers[index] for index in range(self.size)])

    def fail(self, error: Exception) -> None:
        """End the request with `error` unless it is over already."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One queued row; it carries its request, so that losing a request can never strand its batch-mates."""

    row: Row
    request: Request
    index: int


@dataclass(frozen=True, slots=True)
class Done:
    """A computed batch.

    Attributes:
        outcomes: what became of each row.
        started: when it began, in monotonic seconds.
        seconds: how long it took.
    """

    outcomes: Sequence[tuple[Item, Outcome]]
    started: float
    seconds: float


class FairQueue:
    """Waiting rows, a line for each task, dealt one by one in turn."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Add the rows of a request at the end of their tasks' lines."""
        for index, row in enumerate(rows):
            self._lines.setdefault(row.resident.sha256, deque()).append(Item(row, request, index))
        self._size += len(rows)

    def take(self, budget: int, *, now: float) -> list[Item]:
        """Remove up to `budget` rows that somebody still waits for, one from each task in turn; drop the others."""
        batch: list[Item] = []
        while self._lines and len(batch) < budget:
            item = self._pop()
            if not item.request.over(now):
                batch.append(item)
        return batch

    def _pop(self) -> Item:
        task, line = self._lines.popitem(last=False)
        item = line.popleft()
        self._size -= 1
        if line:
            self._lines[task] = line  # behind the other tasks
        return item

    def discard(self, request: Request) -> None:
        """Free the places of a request that nobody waits for any more."""
        for task, line in list(self._lines.items()):
            kept = deque(item for item in line if item.request is not request)
            self._size -= len(line) - len(kept)
            if kept:
                self._lines[task] = kept  # in its old place
            else:
                del self._lines[task]
