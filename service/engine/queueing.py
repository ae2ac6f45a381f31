"""Rows that wait, and the requests they belong to: who gave up, which answers are still missing.

Plain data structures without locks, threads or clocks of their own; the batcher guards them.
"""

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.engine.core import Row, RowResult, Timing
from service.engine.errors import DeadlineExceeded

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
        self.tasks: frozenset[str] = frozenset()  # of its rows, by the hash of their adapters
        self.images = 0.0  # what its rows amount to
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

    @property
    def deadline(self) -> float:
        """When its answer comes too late, in monotonic seconds; infinite where it never does."""
        return float("inf") if self.request.deadline is None else self.request.deadline


@dataclass(frozen=True, slots=True)
class Done:
    """A computed batch.

    Attributes:
        outcomes: what became of each row.
        started: when it began, in monotonic seconds.
        seconds: how long it took.
        late: rows that were left out, because their answers would have come too late.
    """

    outcomes: Sequence[tuple[Item, Outcome]]
    started: float
    seconds: float
    late: Sequence[Item] = ()

    def settle(self) -> None:
        """Hand the outcomes out, each with how long its row waited and was computed."""
        for item in self.late:
            item.request.fail(DeadlineExceeded("by the engine's pace the answer would have come too late"))
        for item, outcome in self.outcomes:
            item.request.settle(item.index, self._timed(outcome, item))

    def _timed(self, outcome: Outcome, item: Item) -> Outcome:
        if isinstance(outcome, Exception):
            return outcome
        return replace(outcome, timing=Timing(queue=self.started - item.request.since, compute=self.seconds))
