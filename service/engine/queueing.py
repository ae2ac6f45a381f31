"""Queued rows and their requests, and the choice of the next row.

The next row is found by priority, then by deficit round robin between tasks, then by the earliest deadline. In a round
each task may spend one quantum: the cost in FLOPs of the most expensive row seen. A task keeps the rest of its quantum
while it has rows waiting. So each task gets its share, for any number and cost of its rows. A task that arrives late
waits for at most one round. Rounds are ranks in a heap here, so taking a row needs no walk over all tasks.
Source: M. Shreedhar and G. Varghese, Efficient fair queuing using deficit round robin, SIGCOMM 1995.

Plain data structures without locks, threads or clocks of their own; the worker guards them.
"""

from asyncio import Future
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from service.engine.core import Row, RowResult, Timing
from service.engine.errors import DeadlineExceeded

Outcome = RowResult | Exception

HIGHEST_PRIORITY, DEFAULT_PRIORITY, LOWEST_PRIORITY = 1, 5, 9

_ROUNDING = 1e-6  # images
_STALE = 64  # outdated ranks that a priority's heap may hold, beside four for each task
_ROWS_PER_IMAGE = 4  # most rows in a batch for each image of its budget: each row takes memory, shared trunk or not


class Request:
    """A request for `size` rows, with one future. It is set by the last answer or by the first failure.

    Belongs to the event loop's thread, except `over`, which the worker may ask. Times are monotonic seconds. A request
    holds none of its rows, so the weights they point to are free as soon as the rows are gone. `origin` is whatever its
    sender wants to recognise it by.
    """

    def __init__(
        self,
        future: "Future[list[RowResult]]",
        size: int,
        *,
        since: float,
        deadline: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        origin: object = None,
    ) -> None:
        self.future, self.size = future, size
        self.since, self.deadline, self.priority, self.origin = since, deadline, priority, origin
        self.contents: frozenset[str] = frozenset()  # SHA-256 of its rows' adapters
        self.images = 0.0  # bulk of its rows
        self._answers: dict[int, RowResult] = {}

    def over(self, now: float) -> bool:
        """Whether the request is over at time `now`: answered, failed, cancelled or too late."""
        return self.future.done() or (self.deadline is not None and self.deadline <= now)

    def answer(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of one row. Results keep the order of the rows, in whatever batches they were computed."""
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
    """One queued row. It refers to its request, so that a lost request cannot affect other rows of its batch."""

    row: Row
    request: Request
    index: int

    @property
    def deadline(self) -> float:
        """When its answer comes too late, in monotonic seconds; infinite if the request has no deadline."""
        return float("inf") if self.request.deadline is None else self.request.deadline


@dataclass(frozen=True, slots=True)
class Done:
    """A computed batch.

    Attributes:
        outcomes: the outcome of each row.
        started: when it began, in monotonic seconds.
        seconds: how long it took.
        late: rows that were left out because their answers would have come too late.
    """

    outcomes: Sequence[tuple[Item, Outcome]]
    started: float
    seconds: float
    late: Sequence[Item] = ()

    def deliver(self) -> None:
        """Give each request its outcomes, with the seconds that the row waited and was computed."""
        for item in self.late:
            item.request.fail(DeadlineExceeded("by the engine's pace the answer would have come too late"))
        for item, outcome in self.outcomes:
            item.request.answer(item.index, self._timed(outcome, item))

    def _timed(self, outcome: Outcome, item: Item) -> Outcome:
        if isinstance(outcome, Exception):
            return outcome
        return replace(outcome, timing=Timing(queue=self.started - item.request.since, compute=self.seconds))


@dataclass(frozen=True, slots=True)
class Exemplars:
    """The labels of exemplars: of a batch, and of each of its rows; None for a row whose request is not traced."""

    batch: dict[str, str]
    rows: Sequence[dict[str, str] | None]


class Bulk:
    """The size of a batch in images, as rows are added: rows of one image share its trunk."""

    def __init__(self) -> None:
        self.images = 0.0
        self._trunks: dict[int, float] = {}  # image -> share of a whole forward pass

    def added(self, row: Row) -> float:
        """Images with one more row."""
        cost = row.resident.cost
        trunk = cost.trunk / cost.spent
        return self.images + 1 - min(trunk, self._trunks.get(id(row.pixels), 0.0))

    def add(self, row: Row) -> None:
        """Take a row in."""
        self.images = self.added(row)
        cost, image = row.resident.cost, id(row.pixels)
        self._trunks[image] = max(cost.trunk / cost.spent, self._trunks.get(image, 0.0))


def bulk_of(rows: Iterable[Row]) -> float:
    """The size of these rows in images, as one batch."""
    bulk = Bulk()
    for row in rows:
        bulk.add(row)
    return bulk.images


class Taken(NamedTuple):
    """A batch, its bulk in images, and rows that were dropped because it would have answered them too late."""

    batch: list[Item]
    images: float
    late: list[Item]


@dataclass(slots=True)
class _Flow:
    """The rows of one task, earliest deadline first, and the FLOPs it has spent."""

    spent: int
    items: list[tuple[float, int, Item]] = field(default_factory=list)  # a heap: deadline, number, row


@dataclass(slots=True)
class _Level:
    """The flows of one priority."""

    flows: dict[str, _Flow] = field(default_factory=dict)
    order: list[tuple[int, float, int, str]] = field(default_factory=list)  # a heap: round, deadline, number, task
    spent: int = 0  # by the flow that was served last; a new flow starts from there

    def lengths(self) -> dict[str, int]:
        """The number of queued rows of each task."""
        return {task: len(flow.items) for task, flow in self.flows.items()}


class FairQueue:
    """Waiting rows, in a flow for each task."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}  # by priority
        self._size = self._numbers = 0
        self._quantum = 1  # FLOPs
        self._images = 0.0

    def __len__(self) -> int:
        return self._size

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Add the rows of a request to their tasks' flows."""
        if not rows:
            return
        request.contents, request.images = frozenset(row.resident.sha256 for row in rows), bulk_of(rows)
        self._raise_quantum(max(row.resident.cost.spent for row in rows))
        level = self._levels.setdefault(request.priority, _Level())
        for index, row in enumerate(rows):
            task, item = row.resident.sha256, Item(row, request, index)
            flow = level.flows.setdefault(task, _Flow(level.spent))
            self._numbers += 1
            heappush(flow.items, (item.deadline, self._numbers, item))
            if flow.items[0][2] is item:
                self._rank(level, task)
        self._size += len(rows)
        self._images += request.images

    def take(self, budget: int, *, now: float, seconds: Callable[[float], float] = lambda images: 0.0) -> Taken:
        """Remove and return a batch of rows; rows of requests that are over are dropped.

        Args:
            budget: most images in the batch.
            now: monotonic seconds.
            seconds: the time of a batch of this many images.
        """
        batch, bulk, late, earliest = list[Item](), Bulk(), list[Item](), float("inf")
        while self._size:
            item = self._next()
            if item.request.over(now):
                self._pop()
                continue
            images = bulk.added(item.row)
            end = now + seconds(images)
            if batch and (end > earliest or _too_much(images, len(batch), budget)):
                break
            self._pop()
            if batch and end > item.deadline:  # the first is taken even so: a wrong model of the pace must learn
                late.append(item)
                continue
            bulk.add(item.row)
            batch.append(item)
            if end <= item.deadline:
                earliest = min(earliest, item.deadline)
        return Taken(batch, bulk.images, late)

    def ahead(self, rows: Sequence[Row], priority: int) -> float:
        """The number of images that are taken before these rows: more urgent ones, and other tasks' rounds."""
        own = Counter(row.resident.sha256 for row in rows)
        waiting = self._levels[priority].lengths() if priority in self._levels else {}
        rounds = max(waiting.get(task, 0) + count for task, count in own.items())
        urgent = sum(sum(level.lengths().values()) for other, level in self._levels.items() if other < priority)
        before = urgent + sum(min(count, rounds - own[task]) for task, count in waiting.items())
        return before * self._images / max(1, self._size)

    def discard(self, request: Request) -> None:
        """Free the places of a request that is over."""
        level = self._levels.get(request.priority)
        flows = level.flows if level is not None else {}
        for task in request.contents & flows.keys():
            flow = flows[task]
            kept = [entry for entry in flow.items if entry[2].request is not request]
            self._leave(request, len(flow.items) - len(kept))
            flow.items = kept
            heapify(flow.items)
            self._update(request.priority, task)

    def _next(self) -> Item:
        level = self._levels[min(self._levels)]
        while True:
            *rank, task = level.order[0]
            flow = level.flows.get(task)
            if flow is not None and tuple(rank) == self._rank_of(flow):
                return flow.items[0][2]
            heappop(level.order)  # outdated

    def _pop(self) -> Item:
        """Remove the row that `_next` gives."""
        item, priority = self._next(), min(self._levels)
        level, task = self._levels[priority], item.row.resident.sha256
        flow = level.flows[task]
        heappop(flow.items)
        level.spent = flow.spent
        flow.spent += item.row.resident.cost.spent
        self._leave(item.request, 1)
        self._update(priority, task)
        return item

    def _leave(self, request: Request, rows: int) -> None:
        self._size -= rows
        self._images = self._images - rows * request.images / request.size if self._size else 0.0

    def _raise_quantum(self, cost: int) -> None:
        if cost > self._quantum:
            self._quantum = cost
            for level in self._levels.values():
                self._rank_all(level)

    def _update(self, priority: int, task: str) -> None:
        """After rows have left a flow: rank it anew, or remove it where it is empty."""
        level = self._levels[priority]
        if level.flows[task].items:
            self._rank(level, task)
            return
        del level.flows[task]
        if not level.flows:
            del self._levels[priority]

    def _rank(self, level: _Level, task: str) -> None:
        heappush(level.order, (*self._rank_of(level.flows[task]), task))
        if len(level.order) > _STALE + 4 * len(level.flows):
            self._rank_all(level)

    def _rank_all(self, level: _Level) -> None:
        level.order = [(*self._rank_of(flow), task) for task, flow in level.flows.items()]
        heapify(level.order)

    def _rank_of(self, flow: _Flow) -> tuple[int, float, int]:
        """The round in which a flow can pay for its first row, and that row's deadline and number."""
        deadline, number, item = flow.items[0]
        return -(-(flow.spent + item.row.resident.cost.spent) // self._quantum), deadline, number


def _too_much(images: float, rows: int, budget: int) -> bool:
    return images > budget + _ROUNDING or rows >= _ROWS_PER_IMAGE * budget
