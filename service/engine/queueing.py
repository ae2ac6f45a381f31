"""Rows that wait, and the requests they belong to: who is next, who gave up, which answers are still missing.

Plain data structures without locks, threads or clocks of their own; the batcher guards them.
"""

from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.engine.core import Row, RowResult, Timing

Outcome = RowResult | Exception

HIGHEST_PRIORITY, DEFAULT_PRIORITY, LOWEST_PRIORITY = 1, 5, 9


class Request:
    """Who waits for `size` rows: one future, settled when the last answer or the first failure arrives.

    Belongs to the event loop's thread, but for `over`, which the worker may ask. Times are monotonic seconds.
    Holds none of its rows: the weights they point to are free as soon as the rows themselves are gone.
    """

    def __init__(
        self,
        future: "Future[list[RowResult]]",
        size: int,
        *,
        since: float,
        deadline: float | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> None:
        self.future, self.size = future, size
        self.since, self.deadline, self.priority = since, deadline, priority
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

    def settle(self) -> None:
        """Hand the outcomes out, each with how long its row waited and was computed."""
        for item, outcome in self.outcomes:
            item.request.settle(item.index, self._timed(outcome, item))

    def _timed(self, outcome: Outcome, item: Item) -> Outcome:
        if isinstance(outcome, Exception):
            return outcome
        return replace(outcome, timing=Timing(queue=self.started - item.request.since, compute=self.seconds))


class FairQueue:
    """Waiting rows, a line for each task, dealt one by one in turn; those of a higher priority before all others."""

    def __init__(self) -> None:
        self._lanes: dict[int, OrderedDict[str, deque[Item]]] = {}  # priority -> task -> its line
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Add the rows of a request at the end of their tasks' lines."""
        for index, row in enumerate(rows):
            lane = self._lanes.setdefault(request.priority, OrderedDict())
            lane.setdefault(row.resident.sha256, deque()).append(Item(row, request, index))
        self._size += len(rows)

    def take(self, budget: int, *, now: float) -> list[Item]:
        """Remove up to `budget` rows that somebody still waits for, one from each task in turn; drop the others."""
        batch: list[Item] = []
        while self._size and len(batch) < budget:
            item = self._pop()
            if not item.request.over(now):
                batch.append(item)
        return batch

    def _pop(self) -> Item:
        priority = min(self._lanes)
        lane = self._lanes[priority]
        task, line = lane.popitem(last=False)
        item = line.popleft()
        self._size -= 1
        if line:
            lane[task] = line  # behind the other tasks
        self._drop_if_empty(priority)
        return item

    def discard(self, request: Request) -> None:
        """Free the places of a request that nobody waits for any more."""
        lane = self._lanes.get(request.priority, OrderedDict())
        for task, line in list(lane.items()):
            kept = deque(item for item in line if item.request is not request)
            self._size -= len(line) - len(kept)
            if kept:
                lane[task] = kept  # in its old place
            else:
                del lane[task]
        self._drop_if_empty(request.priority)

    def _drop_if_empty(self, priority: int) -> None:
        if not self._lanes.get(priority, True):
            del self._lanes[priority]
