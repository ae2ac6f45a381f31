"""Which waiting row is next: by priority, then by turns between tasks, then by the earliest deadline.

In a turn a task may spend the price of the dearest row seen, in FLOPs; what it does not spend it keeps while it has
rows waiting. So a task gets its share however many rows it sends and whatever they cost, and who comes late to a
crowd waits for one turn, not for the crowd. Knows neither locks nor clocks; the worker guards it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from service.engine.core import Row
from service.engine.pace import Bulk, bulk_of
from service.engine.queueing import Item, Request

_ROUNDING = 1e-6  # images
_STALE = 64  # ranks of the past that a lane may hold, beside four for each line
_ROWS_PER_IMAGE = 4  # most rows in a batch for each image of its budget: activations are memory, shared trunks or not


class Taken(NamedTuple):
    """A batch, its bulk in images, and rows that were dropped because it would have answered them too late."""

    batch: list[Item]
    images: float
    late: list[Item]


@dataclass(slots=True)
class _Line:
    """The rows of one task, earliest deadline first, and what it has spent."""

    spent: int
    items: list[tuple[float, int, Item]] = field(default_factory=list)  # a heap: deadline, number, row


@dataclass(slots=True)
class _Lane:
    """The lines of one priority."""

    lines: dict[str, _Line] = field(default_factory=dict)
    order: list[tuple[int, float, int, str]] = field(default_factory=list)  # a heap: turn, deadline, number, task
    now: int = 0  # what a line that is served now has spent

    def lengths(self) -> dict[str, int]:
        """How many rows of each task wait."""
        return {task: len(line.items) for task, line in self.lines.items()}


class FairQueue:
    """Waiting rows, in a line for each task."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}  # by priority
        self._size = self._numbers = 0
        self._turn = 1  # FLOPs
        self._images = 0.0

    def __len__(self) -> int:
        return self._size

    def put(self, rows: Sequence[Row], request: Request) -> None:
        """Add the rows of a request to their tasks' lines."""
        if not rows:
            return
        request.tasks, request.images = frozenset(row.resident.sha256 for row in rows), bulk_of(rows)
        self._widen_turns(max(row.resident.cost.spent for row in rows))
        lane = self._lanes.setdefault(request.priority, _Lane())
        for index, row in enumerate(rows):
            task, item = row.resident.sha256, Item(row, request, index)
            line = lane.lines.setdefault(task, _Line(lane.now))
            self._numbers += 1
            heappush(line.items, (item.deadline, self._numbers, item))
            if line.items[0][2] is item:
                self._rank(lane, task)
        self._size += len(rows)
        self._images += request.images

    def take(self, budget: int, *, now: float, seconds: Callable[[float], float] = lambda images: 0.0) -> Taken:
        """Remove a batch of rows that somebody still waits for; rows that nobody waits for are dropped on the way.

        Args:
            budget: most images in the batch.
            now: monotonic seconds.
            seconds: how long a batch of so many images takes.
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
            if batch and end > item.deadline:  # the first is taken even so: a model that errs must be able to learn
                late.append(item)
                continue
            bulk.add(item.row)
            batch.append(item)
            if end <= item.deadline:
                earliest = min(earliest, item.deadline)
        return Taken(batch, bulk.images, late)

    def ahead(self, rows: Sequence[Row], priority: int) -> float:
        """How many images would be taken before the last of these rows: more urgent ones, and their turns' share."""
        own = Counter(row.resident.sha256 for row in rows)
        waiting = self._lanes[priority].lengths() if priority in self._lanes else {}
        turns = max(waiting.get(task, 0) + count for task, count in own.items())
        urgent = sum(sum(lane.lengths().values()) for other, lane in self._lanes.items() if other < priority)
        before = urgent + sum(min(count, turns - own[task]) for task, count in waiting.items())
        return before * self._images / max(1, self._size)

    def discard(self, request: Request) -> None:
        """Free the places of a request that nobody waits for any more."""
        lane = self._lanes.get(request.priority)
        lines = lane.lines if lane is not None else {}
        for task in request.tasks & lines.keys():
            line = lines[task]
            kept = [entry for entry in line.items if entry[2].request is not request]
            self._leave(request, len(line.items) - len(kept))
            line.items = kept
            heapify(line.items)
            self._settle(request.priority, task)

    def _next(self) -> Item:
        lane = self._lanes[min(self._lanes)]
        while True:
            *rank, task = lane.order[0]
            line = lane.lines.get(task)
            if line is not None and tuple(rank) == self._rank_of(line):
                return line.items[0][2]
            heappop(lane.order)  # as it was before something changed

    def _pop(self) -> Item:
        """Remove what `_next` gives."""
        item, priority = self._next(), min(self._lanes)
        lane, task = self._lanes[priority], item.row.resident.sha256
        line = lane.lines[task]
        heappop(line.items)
        lane.now = line.spent
        line.spent += item.row.resident.cost.spent
        self._leave(item.request, 1)
        self._settle(priority, task)
        return item

    def _leave(self, request: Request, rows: int) -> None:
        self._size -= rows
        self._images = self._images - rows * request.images / request.size if self._size else 0.0

    def _widen_turns(self, cost: int) -> None:
        if cost > self._turn:
            self._turn = cost
            for lane in self._lanes.values():
                self._rank_all(lane)

    def _settle(self, priority: int, task: str) -> None:
        """After rows have left a line: rank it anew, or remove it where it is empty."""
        lane = self._lanes[priority]
        if lane.lines[task].items:
            self._rank(lane, task)
            return
        del lane.lines[task]
        if not lane.lines:
            del self._lanes[priority]

    def _rank(self, lane: _Lane, task: str) -> None:
        heappush(lane.order, (*self._rank_of(lane.lines[task]), task))
        if len(lane.order) > _STALE + 4 * len(lane.lines):
            self._rank_all(lane)

    def _rank_all(self, lane: _Lane) -> None:
        lane.order = [(*self._rank_of(line), task) for task, line in lane.lines.items()]
        heapify(lane.order)

    def _rank_of(self, line: _Line) -> tuple[int, float, int]:
        deadline, number, item = line.items[0]
        return -(-(line.spent + item.row.resident.cost.spent) // self._turn), deadline, number


def _too_much(images: float, rows: int, budget: int) -> bool:
    return images > budget + _ROUNDING or rows >= _ROWS_PER_IMAGE * budget
