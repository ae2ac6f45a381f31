"""What Prometheus sees: one registry of our own, labels only from what exists, bounded, and nothing of what is gone.

Only events are counted here; what can be asked at any time is asked when Prometheus scrapes (gauges.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest

from service.engine import RowResult
from service.errors import KeyRefused
from service.metrics.collectors import Gauges, Observed
from service.metrics.labels import OTHER, Busiest, Recent
from service.metrics.tiers import LoadMetrics, TierMetrics
from service.problems import CLIENT_CLOSED_REQUEST, answer_to
from service.tasks.table import Entry, Named, Served, Table

NONE = "-"  # no task, version or key looks like this
OUTCOMES = ("published", "known", "dry_run", "refused", "failed")  # of uploads

_GIGA = 1e9
_VERSIONS = 8  # of one task, with series of their own
_IDLE_SECONDS = 600.0  # by then whoever scrapes has seen the last count
_SERVER_ERROR = 500
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5,
            10, 60)  # fmt: skip
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_TENTHS = tuple(tenths / 10 for tenths in range(11))


@dataclass(slots=True)
class Prediction:
    """What is known about a prediction under way."""

    served: Served | Named | None = None
    results: Sequence[RowResult] = ()

    def account(self, results: Sequence[RowResult]) -> None:
        """Take over what the engine executed for it, and what pruning and sharing saved."""
        self.results = results


@dataclass(slots=True)
class UploadRecord:
    """What is known about an upload under way: `outcome` is what it came to unless it fails."""

    outcome: str = "published"


class Metrics:
    """Counters and histograms. Belongs to the event loop, but for what is observed in the threads that do it."""

    def __init__(self, observed: Observed, *, tasks: int) -> None:
        """Count for a service; `tasks` is the most tasks, and the most keys, with series of their own."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, for nobody
        self._observed, self._registry = observed, (registry := CollectorRegistry())
        self._tasks = Busiest(tasks, on_out=self._remove)
        self._keys = Busiest(tasks, on_out=lambda key: self._refused.remove_by_labels({"key": key}))
        self._versions = Recent(_VERSIONS, idle_seconds=_IDLE_SECONDS, on_out=self._remove_version)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=registry)

        def histogram(name: str, what: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets, registry=registry)

        self._requests = counter("mimi_requests", "Predictions answered or refused.", "task", "version", "code")
        self._duration = histogram(
            "mimi_request_duration_seconds", "A prediction as the client sees it, body included.", "task"
        )
        self._running = Gauge("mimi_requests_in_progress", "Predictions under way.", registry=registry)
        self._rejected = counter("mimi_rejected", "Requests refused, by problem code.", "reason")
        self._refused = counter("mimi_key_refusals", "Refused for their key, by its name.", "key", "reason")
        self._decode = histogram("mimi_decode_seconds", "One image decoded and resized, waiting not included.")
        self._wait = histogram("mimi_queue_wait_seconds", "An image's time in the queue.")
        self._forward = histogram("mimi_forward_seconds", "One forward pass of a batch.")
        self._images = histogram("mimi_batch_images", "Images in one batch.", buckets=_COUNTS)
        self._distinct = histogram("mimi_batch_distinct_tasks", "Different adapters in one batch.", buckets=_COUNTS)
        self._spent = counter("mimi_gflops_spent", "10^9 FLOPs executed.", "task")
        self._saved = counter("mimi_gflops_saved", "10^9 FLOPs less than before pruning.", "task")
        self._shared = counter("mimi_gflops_shared", "10^9 FLOPs less than alone: what images and tasks share.", "task")
        self._share = histogram(
            "mimi_trunk_share_ratio", "Part of an answer's FLOPs that it shared with others.", buckets=_TENTHS
        )
        self._uploads = counter("mimi_uploads", "Uploads of task adapter files, by what they came to.", "outcome")
        self._upload = histogram("mimi_upload_duration_seconds", "An upload as the client sees it, body included.")
        self._swaps = counter("mimi_swaps", "Times that another version began to answer for a task on this server.")
        for outcome in OUTCOMES:
            self._uploads.labels(outcome)  # a series that is there at nothing shows its first event as a rise
        ProcessCollector(registry=registry)
        self.loads = LoadMetrics(registry)
        registry.register(Gauges(observed, tasks=tasks, busiest=self._tasks))
        registry.register(TierMetrics(lambda: observed.tiers))

    @contextmanager
    def prediction(self) -> Iterator[Prediction]:
        """Count what happens inside as one prediction, however it ends."""
        record, start, code = Prediction(), perf_counter(), CLIENT_CLOSED_REQUEST
        self._running.inc()
        try:
            yield record
            code = 200
        except Exception as error:
            code = answer_to(error).status
            raise
        finally:
            self._running.dec()
            self._count(record, code, perf_counter() - start)

    @contextmanager
    def upload(self) -> Iterator[UploadRecord]:
        """Count what happens inside as one upload, however it ends."""
        record, start, outcome = UploadRecord(), perf_counter(), "refused"
        try:
            yield record
            outcome = record.outcome
        except Exception as error:
            outcome = "failed" if answer_to(error).status >= _SERVER_ERROR else "refused"
            raise
        finally:
            self._uploads.labels(outcome).inc()
            self._upload.observe(perf_counter() - start)

    def on_batch(self, images: int, tasks: int, seconds: float, waits: Sequence[float]) -> None:
        """A batch was computed."""
        self._images.observe(images)
        self._distinct.observe(tasks)
        self._forward.observe(seconds)
        for wait in waits:
            self._wait.observe(wait)

    def on_decoded(self, seconds: float) -> None:
        """An image was decoded; from any thread."""
        self._decode.observe(seconds)

    def replaced(self, old: Table, new: Table) -> None:
        """The table of tasks is another one; from any thread."""
        self._swaps.inc(sum(_swapped(old[task], new[task]) for task in old.keys() & new.keys()))

    def rejected(self, error: Exception) -> None:
        """A request was refused."""
        reason = answer_to(error).problem.code
        self._rejected.labels(reason).inc()
        if isinstance(error, KeyRefused):
            self._refused.labels(NONE if error.key is None else self._keys.label(error.key), reason).inc()

    def forget(self, task: str) -> None:
        """Remove every series of a deleted task."""
        self._tasks.forget(task)
        self._remove(task)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        live = {
            (served.task, str(served.info.version))
            for entry in self._observed.table.values()
            for served in entry.named()
        }
        self._versions.expire(live)
        return generate_latest(self._registry)

    def _count(self, record: Prediction, code: int, seconds: float) -> None:
        task, version = self._labels(record.served)
        self._requests.labels(task, version, code).inc()
        self._duration.labels(task).observe(seconds)
        self._spent.labels(task).inc(sum(result.flops_spent for result in record.results) / _GIGA)
        self._saved.labels(task).inc(max(0.0, sum(result.flops_saved for result in record.results) / _GIGA))
        self._shared.labels(task).inc(sum(result.flops_shared for result in record.results) / _GIGA)
        for result in record.results:
            self._share.observe(result.flops_shared / (result.flops_spent + result.flops_shared))

    def _labels(self, served: Served | Named | None) -> tuple[str, str]:
        if served is None or served.task not in self._observed.table:  # else its series would outlive it
            return NONE, NONE
        if self._tasks.label(served.task) == OTHER:
            return OTHER, OTHER
        return served.task, self._versions.label(served.task, str(served.info.version))

    def _remove(self, task: str) -> None:
        self._versions.forget(task)
        for metric in (self._requests, self._duration, self._spent, self._saved, self._shared):
            metric.remove_by_labels({"task": task})

    def _remove_version(self, task: str, version: str) -> None:
        self._requests.remove_by_labels({"task": task, "version": version})


def _swapped(old: Entry, new: Entry) -> bool:
    """Whether a version answers that did not, where another one answered before."""
    before = {served.info.version for served, _ in old.split}
    return bool(before) and any(served.info.version not in before for served, _ in new.split)
