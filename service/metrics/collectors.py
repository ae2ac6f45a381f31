"""What Prometheus is told when it asks, and nobody has to keep: gauges read on the spot cannot be out of date."""

from collections import Counter as Count
from collections.abc import Container, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric

from service.engine import TierUsage, Usage
from service.tasks.table import ALIAS, SUSPENDED, Entry, Table

STATES = ("ready", "not_live", "unloaded", "unavailable")


class Observed(Protocol):
    """What is asked when Prometheus scrapes."""

    @property
    def table(self) -> Table:
        """All tasks as of now."""
        ...

    @property
    def queued(self) -> int:
        """Images that wait for the engine."""
        ...

    @property
    def queue_limit(self) -> int:
        """Most images that may wait for the engine."""
        ...

    @property
    def engine_up(self) -> bool:
        """Whether there is a thread that computes."""
        ...

    @property
    def ready(self) -> bool:
        """Whether work is taken."""
        ...

    @property
    def usage(self) -> Usage:
        """What is resident, and what lingers."""
        ...

    @property
    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tier of memory holds and did."""
        ...

    @property
    def generation(self) -> int:
        """Of the store, as this server follows it."""
        ...

    @property
    def store_age(self) -> float:
        """Seconds since the store was last read."""
        ...

    @property
    def build(self) -> Mapping[str, str]:
        """What runs here: versions, and the backbone."""
        ...


class Gauges:
    """A collector over a running service."""

    def __init__(self, observed: Observed, *, tasks: int, busiest: Container[str] = ()) -> None:
        """Ask `observed` at each scrape; `tasks` is the most that are named, the `busiest` before others."""
        self._observed, self._tasks, self._busiest = observed, tasks, busiest

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        now = self._observed
        yield _labelled("mimi_build_info", "1, with what runs here.", now.build)
        yield _gauge("mimi_ready", "1 while work is taken.", now.ready)
        yield _gauge("mimi_engine_up", "1 while the engine's thread is there to compute.", now.engine_up)
        yield _gauge("mimi_queue_images", "Images that wait now.", now.queued)
        yield _gauge("mimi_queue_limit_images", "Most images that may wait.", now.queue_limit)
        yield _gauge("mimi_store_generation", "The store's generation that this server answers by.", now.generation)
        yield _gauge("mimi_store_age_seconds", "Time since the store was last read.", now.store_age)
        yield from _adapters(now.usage)
        yield from self._of_tasks(now.table)

    def _of_tasks(self, table: Table) -> Iterator[Metric]:
        states = Count(_state(entry) for entry in table.values())
        tasks = GaugeMetricFamily("mimi_tasks", "Published tasks, by their state on this server.", labels=("state",))
        for state in STATES:
            tasks.add_metric((state,), states[state])
        yield tasks
        info = GaugeMetricFamily(
            "mimi_adapter_info",
            "1 for each version that answers now; of so many tasks as may be named.",
            labels=("task", "version", "sha256"),
        )
        named = sorted(table, key=lambda task: task not in self._busiest)[: self._tasks]
        for served, _ in (choice for task in named for choice in table[task].split):
            info.add_metric((served.task, str(served.info.version), served.info.sha256), 1.0)
        yield info


def _adapters(usage: Usage) -> Iterator[Metric]:
    yield _gauge("mimi_adapters_lingering", "Let go of, and still held by work in flight.", usage.lingering)
    yield _gauge("mimi_adapter_lingering_bytes", "Bytes of those that linger.", usage.lingering_bytes)


def _state(entry: Entry) -> str:
    if entry.reason is None:
        return "ready"
    if entry.live is SUSPENDED:
        return "unloaded"
    return "unavailable" if ALIAS in entry.pointers else "not_live"


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _labelled(name: str, what: str, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), 1.0)
    return family
