"""Counters and histograms of events, in a Prometheus registry of our own.

Labels name only what exists, their number is bounded, and the series of a deleted task are removed. Values that can be
read at any time are gauges: see collectors.py.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import perf_counter
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from service.engine import RowResult
from service.engine.core import is_known
from service.engine.queueing import Exemplars
from service.errors import KeyRefused
from service.metrics.labels import OTHER, HeavyHitters, RecentlyUsed
from service.metrics.statistics import Stages, Statistics
from service.metrics.tiers import LoadMetrics
from service.problems import answer_to
from service.tasks.table import Table, TaskEntry, TaskVersion
from service.telemetry.traces import exemplar

NONE = "-"  # no task, version or key looks like this
OUTCOMES = ("published", "known", "dry_run", "refused", "failed")  # of uploads

_GIGA = 1e9
_VERSIONS = 8  # of one task, with series of their own
_IDLE_SECONDS = 600.0  # by then every scraper has seen the last count
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5,
            10, 60)  # fmt: skip
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_TENTHS = tuple(tenths / 10 for tenths in range(11))


class Kind(Enum):
    """The kind of a request, for the metrics."""

    PREDICTION = "prediction"
    UPLOAD = "upload"
    OTHER = "other"  # counted only when it is refused


@dataclass(slots=True)
class AskedTask:
    """One version that a prediction asks, and what the engine executed for it."""

    named: TaskVersion
    results: Sequence[RowResult] = ()


@dataclass(slots=True)
class RequestRecord:
    """The record of one request. The routes fill it in, and `Metrics.finished` counts it.

    Attributes:
        started: when it began, on the clock of `perf_counter`.
        kind: what it is.
        asked: the versions that a prediction asks; empty until they are known.
        decoding: seconds in which its images were decoded.
        computed: when the engine's answers were there, on the same clock.
        outcome: of an upload that succeeds, one of OUTCOMES.
        error: why it was refused.
        client: the name of its key, or its address; None before the key was checked.
        admitted: whether it came with a valid key.
        counted: whether it has been counted.
    """

    started: float = field(default_factory=perf_counter)
    kind: Kind = Kind.OTHER
    asked: list[AskedTask] = field(default_factory=list)
    decoding: float = 0.0
    computed: float = 0.0
    outcome: str = "published"
    error: Exception | None = None
    client: str | None = None
    admitted: bool = False
    counted: bool = False


class _TaskSeries(NamedTuple):
    """The series of one task that every prediction counts in: to find one by its labels costs as much as to count."""

    duration: Histogram
    spent: Counter
    saved: Counter
    shared: Counter


class Metrics:
    """Counters and histograms. Belongs to the event loop, except for the methods that say 'from any thread'."""

    def __init__(self, *, tasks: int) -> None:
        """Begin at zero; `tasks` is the most tasks, and the most keys, with series of their own."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter has a second series that nobody reads
        self._registry = registry = CollectorRegistry()
        self._table: Table = {}
        self._deleted: deque[str] = deque()  # tasks whose series are still to be removed
        self.busiest = self._tasks = HeavyHitters(tasks, on_out=self._remove)
        self._keys = HeavyHitters(tasks, on_out=lambda key: self._refused.remove_by_labels({"key": key}))
        self._versions = RecentlyUsed(_VERSIONS, idle_seconds=_IDLE_SECONDS, on_out=self._remove_version)
        self._canaries = RecentlyUsed(_VERSIONS, idle_seconds=_IDLE_SECONDS, on_out=self._remove_canary)

        self._series: dict[str, _TaskSeries] = {}
        self.statistics = Statistics()
        self._measure_requests()
        self._measure_batches()
        self._measure_uploads()
        ProcessCollector(registry=registry)
        self.loads = LoadMetrics(registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
        return Histogram(name, what, labels, buckets=buckets, registry=self._registry)

    def _measure_requests(self) -> None:
        counter, histogram = self._counter, self._histogram
        self._requests = counter("mimi_requests", "Predictions answered or refused.", "task", "version", "code")
        self._duration = histogram(
            "mimi_request_duration_seconds", "A prediction as the client sees it, body included.", "task"
        )
        self._canary = histogram(
            "mimi_canary_duration_seconds",
            "As mimi_request_duration_seconds, by version, while several versions are live.",
            "task",
            "version",
        )
        self._running = Gauge("mimi_requests_in_progress", "Predictions under way.", registry=self._registry)
        self._rejected = counter("mimi_rejected", "Requests refused, by problem code.", "reason")
        self._refused = counter("mimi_key_refusals", "Refused for their key, by its name.", "key", "reason")

    def _measure_batches(self) -> None:
        counter, histogram = self._counter, self._histogram
        self._decode = histogram("mimi_decode_seconds", "One image decoded and resized, waiting not included.")
        self._wait = histogram("mimi_queue_wait_seconds", "An image's time in the queue.")
        self._forward = histogram("mimi_forward_seconds", "One forward pass of a batch.")
        self._images = histogram("mimi_batch_images", "Images in one batch.", buckets=_COUNTS)
        self._distinct = histogram("mimi_batch_distinct_tasks", "Different adapters in one batch.", buckets=_COUNTS)
        self._spent = counter("mimi_gflops_spent", "10^9 FLOPs executed.", "task")
        self._saved = counter("mimi_gflops_saved", "10^9 FLOPs less than before pruning.", "task")
        self._shared = counter("mimi_gflops_shared", "10^9 FLOPs less than alone: what images and tasks share.", "task")
        self._answers = counter("mimi_answers", "Images, by whether their task knows such images.", "task", "known")
        self._corrections = counter(
            "mimi_corrections",
            "Corrections taken, by whether they confirm what the task had said.",
            "task",
            "confirmed",
        )
        self._share = histogram(
            "mimi_trunk_share_ratio", "Part of an answer's FLOPs that it shared with others.", buckets=_TENTHS
        )

    def _measure_uploads(self) -> None:
        self._uploads = self._counter("mimi_uploads", "Uploads of task adapter files, by what they came to.", "outcome")
        self._upload = self._histogram(
            "mimi_upload_duration_seconds", "An upload as the client sees it, body included."
        )
        self._swaps = self._counter(
            "mimi_swaps", "Times that another version began to answer for a task on this server."
        )
        for outcome in OUTCOMES:
            self._uploads.labels(outcome)  # a series that begins at 0 shows its first event as an increase

    def register(self, collector: Collector) -> None:
        """Ask a collector at each scrape."""
        self._registry.register(collector)

    def begun(self, record: RequestRecord, kind: Kind) -> None:
        """A request turned out to be of this kind."""
        record.kind = kind
        if kind is Kind.PREDICTION:
            self._running.inc()

    def finished(self, record: RequestRecord, status: int) -> None:
        """A request was answered with this status; it is counted once, however often this is called."""
        if record.counted:
            return
        record.counted = True
        self._forget_deleted()
        seconds = perf_counter() - record.started
        if record.kind is Kind.PREDICTION:
            self._running.dec()
            for asked in record.asked or (None,):
                self._count(asked, status, seconds)
                if asked and asked.named.task in self._table:
                    self.statistics.add(asked.named, asked.results, status=status, stages=_stages(record, seconds))
        elif record.kind is Kind.UPLOAD:
            self._uploads.labels(_outcome(record, status)).inc()
            self._upload.observe(seconds, exemplar())
        if record.error is not None:
            self.rejected(record.error)

    def on_batch(
        self, images: int, tasks: int, seconds: float, waits: Sequence[float], exemplars: Exemplars | None = None
    ) -> None:
        """A batch was computed."""
        self._images.observe(images)
        self._distinct.observe(tasks)
        own, rows = (None, [None] * len(waits)) if exemplars is None else (exemplars.batch, exemplars.rows)
        self._forward.observe(seconds, own)
        for wait, row in zip(waits, rows, strict=True):
            self._wait.observe(wait, row)

    def on_decoded(self, seconds: float) -> None:
        """An image was decoded; from any thread."""
        self._decode.observe(seconds, exemplar())

    def replaced(self, old: Table, new: Table) -> None:
        """The table of tasks is another one; from any thread."""
        self._table = new
        self._deleted.extend(old.keys() - new.keys())
        self._swaps.inc(sum(_swapped(old[task], new[task]) for task in old.keys() & new.keys()))

    def corrected(self, task: str, *, confirmed: bool) -> None:
        """Somebody said what an image shows, and it is what the task had said, or not."""
        name = self._tasks.label(task) if task in self._table else NONE
        self._corrections.labels(name, str(confirmed).lower()).inc()

    def rejected(self, error: Exception) -> None:
        """A request was refused, or a connection before it became one."""
        reason = answer_to(error).problem.code
        self._rejected.labels(reason).inc()
        if isinstance(error, KeyRefused):
            self._refused.labels(NONE if error.key is None else self._keys.label(error.key), reason).inc()

    def text(self, encode: Callable[[Collector], bytes] = generate_latest) -> bytes:
        """Everything, in Prometheus' text format, or as another encoder writes it."""
        self._forget_deleted()
        live = {(named.task, str(named.info.version)) for entry in self._table.values() for named in entry.aliased()}
        self._versions.expire(live)
        self._canaries.expire(
            {
                (named.task, str(named.info.version))
                for entry in self._table.values()
                if len(entry.split) > 1
                for named, _ in entry.split
            }
        )
        return encode(self._registry)

    def _forget_deleted(self) -> None:
        """Remove every series of the tasks that were deleted since the last event, before anything else is counted."""
        while self._deleted:
            task = self._deleted.popleft()
            self._tasks.forget(task)
            self.statistics.forget(task)
            self._remove(task)

    def _count(self, asked: AskedTask | None, code: int, seconds: float) -> None:
        task, version = self._labels(asked.named if asked else None)
        results = asked.results if asked else ()
        self._requests.labels(task, version, code).inc()
        series = self._series.get(task) or self._begin(task)
        series.duration.observe(seconds, exemplar())
        if asked and task == asked.named.task:
            self._count_canary(asked.named, seconds)
        series.spent.inc(sum(result.flops_spent for result in results) / _GIGA)
        series.saved.inc(max(0.0, sum(result.flops_saved for result in results) / _GIGA))
        series.shared.inc(sum(result.flops_shared for result in results) / _GIGA)
        unknown = [result.unknown for result in results if result.unknown is not None]
        for score in unknown:
            self._answers.labels(task, str(is_known(score)).lower()).inc()
        for result in results:
            self._share.observe(result.flops_shared / (result.flops_spent + result.flops_shared))

    def _begin(self, task: str) -> "_TaskSeries":
        series = self._series[task] = _TaskSeries(
            self._duration.labels(task), self._spent.labels(task), self._saved.labels(task), self._shared.labels(task)
        )
        return series

    def _count_canary(self, named: TaskVersion, seconds: float) -> None:
        """Compare versions that share the traffic of a task; only these, so that the series stay few."""
        split = self._table[named.task].split
        if len(split) > 1 and any(each.info.version == named.info.version for each, _ in split):
            version = self._canaries.label(named.task, str(named.info.version))
            self._canary.labels(named.task, version).observe(seconds, exemplar())

    def _labels(self, named: TaskVersion | None) -> tuple[str, str]:
        if named is None or named.task not in self._table:  # the series of a deleted task would stay for ever
            return NONE, NONE
        if self._tasks.label(named.task) == OTHER:
            return OTHER, OTHER
        return named.task, self._versions.label(named.task, str(named.info.version))

    def _remove(self, task: str) -> None:
        self._series.pop(task, None)
        self._versions.forget(task)
        self._canaries.forget(task)
        named = (
            self._requests,
            self._duration,
            self._canary,
            self._spent,
            self._saved,
            self._shared,
            self._answers,
            self._corrections,
        )
        for metric in named:
            metric.remove_by_labels({"task": task})

    def _remove_canary(self, task: str, version: str) -> None:
        self._canary.remove_by_labels({"task": task, "version": version})

    def _remove_version(self, task: str, version: str) -> None:
        self._requests.remove_by_labels({"task": task, "version": version})


def _stages(record: RequestRecord, seconds: float) -> Stages:
    return Stages(seconds, record.decoding, record.started + seconds - record.computed)


def _swapped(old: TaskEntry, new: TaskEntry) -> bool:
    """Whether a version answers that did not, where another one answered before."""
    before = {served.info.version for served, _ in old.split}
    return bool(before) and any(served.info.version not in before for served, _ in new.split)


def _outcome(record: RequestRecord, status: int) -> str:
    if record.error is None and status < _CLIENT_ERROR:
        return record.outcome
    return "failed" if status >= _SERVER_ERROR else "refused"
