"""What Prometheus sees: one registry of our own, labels only from tasks that exist, nothing left of deleted ones.

What can be asked at any time (resident adapters, the queue) is collected when scraped; only events are counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from service.contents import Named
from service.engine import RowResult, TierUsage
from service.problems import CLIENT_CLOSED_REQUEST, answer_to
from service.table import Entry, Served
from service.tier_metrics import LoadMetrics, TierMetrics

_GIGA = 1e9
NO_TASK = "-"  # no task id looks like this
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64)


class Observed(Protocol):
    """What is asked when Prometheus scrapes."""

    @property
    def table(self) -> Mapping[str, Entry]:
        """All tasks as of now."""
        ...

    @property
    def queued(self) -> int:
        """Images that wait for the engine."""
        ...

    @property
    def adapter_bytes(self) -> int:
        """Bytes of all resident adapters and heads."""
        ...

    @property
    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tier of memory holds and did."""
        ...


@dataclass(slots=True)
class Prediction:
    """What is known about a prediction under way."""

    served: Served | Named | None = None
    gflops_spent: float = 0.0
    gflops_saved: float = 0.0
    gflops_shared: float = 0.0

    def account(self, results: Sequence[RowResult]) -> None:
        """Take over what the engine executed for it, and what pruning and sharing saved."""
        self.gflops_spent = sum(result.flops_spent for result in results) / _GIGA
        self.gflops_saved = sum(result.flops_saved for result in results) / _GIGA
        self.gflops_shared = sum(result.flops_shared for result in results) / _GIGA


class Metrics:
    """Counters and histograms; it is also what the batcher tells about its batches.

    Attributes:
        loads: what is told about loads of adapters.
    """

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mimi_requests", "Predictions answered or refused.", ("task", "version", "code"), registry=registry
        )
        self._duration = Histogram(
            "mimi_request_duration_seconds", "A prediction as the client sees it, body included.", ("task",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._wait = Histogram(
            "mimi_queue_wait_seconds", "An image's time in the queue.", buckets=_SECONDS, registry=registry
        )
        self._forward = Histogram(
            "mimi_forward_seconds", "One forward pass of a batch.", buckets=_SECONDS, registry=registry
        )
        self._images = Histogram("mimi_batch_images", "Images in one batch.", buckets=_COUNTS, registry=registry)
        self._tasks = Histogram(
            "mimi_batch_distinct_tasks", "Different adapters in one batch.", buckets=_COUNTS, registry=registry
        )
        self._rejected = Counter("mimi_rejected", "Requests refused, by problem code.", ("reason",), registry=registry)
        self._spent = Counter("mimi_gflops_spent", "10^9 FLOPs executed.", ("task",), registry=registry)
        self._saved = Counter("mimi_gflops_saved", "10^9 FLOPs less than before pruning.", ("task",), registry=registry)
        self._shared = Counter(
            "mimi_gflops_shared", "10^9 FLOPs less than alone: trunks of several tasks.", ("task",), registry=registry
        )
        self.loads = LoadMetrics(registry)
        registry.register(_Scraped(observed))
        registry.register(TierMetrics(lambda: observed.tiers))

    @contextmanager
    def prediction(self) -> Iterator[Prediction]:
        """Count what happens inside as one prediction, however it ends."""
        record, start, code = Prediction(), perf_counter(), CLIENT_CLOSED_REQUEST
        try:
            yield record
            code = 200
        except Exception as error:
            code = answer_to(error).status
            raise
        finally:
            self._count(record, code, perf_counter() - start)

    def _count(self, record: Prediction, code: int, seconds: float) -> None:
        task, version = NO_TASK, NO_TASK
        if record.served and record.served.task in self._observed.table:  # else its series would outlive it
            task, version = record.served.task, str(record.served.info.version)
        self._requests.labels(task, version, code).inc()
        self._duration.labels(task).observe(seconds)
        self._spent.labels(task).inc(record.gflops_spent)
        self._saved.labels(task).inc(max(0.0, record.gflops_saved))
        self._shared.labels(task).inc(record.gflops_shared)

    def on_batch(self, images: int, tasks: int, seconds: float, waits: Sequence[float]) -> None:
        """A batch was computed."""
        self._images.observe(images)
        self._tasks.observe(tasks)
        self._forward.observe(seconds)
        for wait in waits:
            self._wait.observe(wait)

    def rejected(self, error: Exception) -> None:
        """A request was refused."""
        self._rejected.labels(answer_to(error).problem.code).inc()

    def forget(self, task: str) -> None:
        """Remove every series of a deleted task."""
        for metric in (self._requests, self._duration, self._spent, self._saved, self._shared):
            metric.remove_by_labels({"task": task})

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Scraped:
    """Gauges that are asked, never kept: they cannot be out of date."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        yield GaugeMetricFamily("mimi_queue_images", "Images that wait now.", value=self._observed.queued)
        yield GaugeMetricFamily(
            "mimi_adapter_bytes", "Bytes of resident adapters and heads.", value=self._observed.adapter_bytes
        )
        info = GaugeMetricFamily(
            "mimi_adapter_info", "1 for each version that answers now.", labels=("task", "version", "sha256")
        )
        for named, _ in (choice for entry in self._observed.table.values() for choice in entry.split):
            info.add_metric((named.task, str(named.info.version), named.info.sha256), 1.0)
        yield info
