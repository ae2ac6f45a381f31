"""Totals of each version as the Open Inference Protocol's statistics have them: counts, and nanoseconds by stage.

They are for tools such as perf_analyzer, which look before and after a run. Kept for the versions that are published
and were asked, so that they are as bounded as the store is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.engine import RowResult
from service.tasks.table import TaskEntry, TaskVersion

_NANO = 1e9
_OK = 400


@dataclass(slots=True)
class Total:
    """Requests, and the nanoseconds that they took together."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one request."""
        self.count += 1
        self.ns += round(seconds * _NANO)


class Stages(NamedTuple):
    """Seconds of a request: from its first byte to its answer, decoding its images, and building its answer."""

    total: float
    decoding: float
    encoding: float


@dataclass(slots=True)
class VersionTotals:
    """The outcome of the requests to one version.

    Attributes:
        images: that were answered.
        last: milliseconds since the epoch at the last answer; 0: there was none.
        success, fail: requests from their first byte to their answer.
        queue, decode, compute, encode: the stages of those that succeeded; of several images the longest.
    """

    images: int
    last: int
    success: Total
    fail: Total
    queue: Total
    decode: Total
    compute: Total
    encode: Total

    @classmethod
    def empty(cls) -> "VersionTotals":
        """Before the first request."""
        return cls(0, 0, *(Total() for _ in range(6)))


class Statistics:
    """Totals by task and version. Belongs to the event loop."""

    def __init__(self) -> None:
        """Begin empty."""
        self._totals: dict[str, dict[int, VersionTotals]] = {}

    def add(self, named: TaskVersion, results: Sequence[RowResult], *, status: int, stages: Stages) -> None:
        """Count a request that was answered with this status."""
        versions = self._totals.setdefault(named.task, {})
        totals = versions.get(named.info.version)
        if totals is None:
            totals = versions[named.info.version] = VersionTotals.empty()
        if status >= _OK or not results:
            totals.fail.add(stages.total)
            return
        totals.images += len(results)
        totals.last = round(time.time() * 1000)
        totals.success.add(stages.total)
        totals.decode.add(stages.decoding)
        totals.encode.add(stages.encoding)
        totals.queue.add(max(result.timing.queue for result in results))
        totals.compute.add(max(result.timing.compute for result in results))

    def of(self, task: str, entry: TaskEntry) -> dict[int, VersionTotals]:
        """The totals of the versions of a task that are published: those that were asked, and those that are live."""
        kept = {n: each for n, each in self._totals.get(task, {}).items() if n in entry.versions}
        if kept:
            self._totals[task] = kept
        live = {named.info.version: VersionTotals.empty() for named, _ in entry.split}
        return {**live, **kept}

    def forget(self, task: str) -> None:
        """The task was deleted."""
        self._totals.pop(task, None)
