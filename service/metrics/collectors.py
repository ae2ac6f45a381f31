"""Gauges whose values are read at each scrape, so they are never out of date."""

from collections import Counter as Count
from collections.abc import Container, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine import Batcher, Engine
from service.inputs.decoding import Decoder
from service.readiness import Readiness
from service.tasks.registrar import Registrar
from service.tasks.registry import Registry
from service.tasks.table import ALIAS, SUSPENDED, Table, TaskEntry

STATES = ("ready", "not_live", "unloaded", "unavailable")


class EngineCollector(Collector):
    """Whether the server is ready, how many images wait, and what is still held in memory."""

    def __init__(
        self, engine: Engine, batcher: Batcher, decoder: Decoder, readiness: Readiness, *, queue_limit: int
    ) -> None:
        """Ask these at each scrape; `queue_limit` is the most images that may wait."""
        self._engine, self._batcher, self._decoder, self._readiness = engine, batcher, decoder, readiness
        self._queue_limit = queue_limit

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        usage = self._engine.usage()
        yield _gauge("mimi_ready", "1 while work is taken.", self._readiness.ready)
        yield _gauge("mimi_engine_up", "1 while the engine's thread is there to compute.", self._batcher.healthy)
        yield _gauge("mimi_queue_images", "Images that wait now.", self._batcher.queued)
        yield _gauge("mimi_queue_limit_images", "Most images that may wait.", self._queue_limit)
        yield _gauge("mimi_decoders_stuck", "Decoder threads at one image for over 10 s.", self._decoder.stuck)
        yield _gauge("mimi_adapters_lingering", "Let go of, and still held by work in flight.", usage.lingering)
        yield _gauge("mimi_adapter_lingering_bytes", "Bytes of those that linger.", usage.lingering_bytes)


class TasksCollector(Collector):
    """The published tasks by their state, and how far this server has followed the store."""

    def __init__(self, registry: Registry, registrar: Registrar, *, most: int, busiest: Container[str] = ()) -> None:
        """Ask these at each scrape; at most `most` tasks are named, the `busiest` before others."""
        self._registry, self._registrar, self._most, self._busiest = registry, registrar, most, busiest

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        table = self._registry.table
        yield _gauge(
            "mimi_store_generation", "The store's generation that this server answers by.", self._registry.generation
        )
        yield _gauge("mimi_store_age_seconds", "Time since the store was last read.", self._registrar.age)
        yield _states(table)
        yield self._versions(table)

    def _versions(self, table: Table) -> Metric:
        info = GaugeMetricFamily(
            "mimi_adapter_info",
            "1 for each version that answers now; of so many tasks as may be named.",
            labels=("task", "version", "sha256"),
        )
        names = sorted(table, key=lambda task: task not in self._busiest)[: self._most]
        for named, _ in (choice for task in names for choice in table[task].split):
            info.add_metric((named.task, str(named.info.version), named.info.sha256), 1.0)
        return info


class BuildCollector(Collector):
    """Versions of the software, and the backbone."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        family = GaugeMetricFamily("mimi_build_info", "1, with what runs here.", labels=tuple(self._labels))
        family.add_metric(tuple(self._labels.values()), 1.0)
        yield family


def _states(table: Table) -> Metric:
    states = Count(_state(entry) for entry in table.values())
    tasks = GaugeMetricFamily("mimi_tasks", "Published tasks, by their state on this server.", labels=("state",))
    for state in STATES:
        tasks.add_metric((state,), states[state])
    return tasks


def _state(entry: TaskEntry) -> str:
    if entry.reason is None:
        return "ready"
    if entry.live is SUSPENDED:
        return "unloaded"
    return "unavailable" if ALIAS in entry.targets else "not_live"


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))
