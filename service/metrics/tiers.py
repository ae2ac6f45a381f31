"""Metrics of adapters in memory: the contents of each tier, and loads from the store."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.engine import TierUsage

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Tiers = Callable[[], Mapping[str, TierUsage]]


class LoadMetrics:
    """Counts what a `Loads` reports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "mimi_adapter_load_seconds", "One load of an adapter from the store.", buckets=_SECONDS, registry=registry
        )
        self._failures = Counter(
            "mimi_adapter_load_failures", "Loads that failed, by error.", ("reason",), registry=registry
        )

    def on_load(self, seconds: float) -> None:
        """An adapter was loaded."""
        self._seconds.observe(seconds)

    def on_failed_load(self, reason: str) -> None:
        """An adapter could not be loaded."""
        self._failures.labels(reason).inc()


class TierMetrics:
    """The tiers of memory, read at each scrape."""

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        tiers = self._tiers()
        yield _gauge("mimi_tier_bytes", "Bytes of adapters held.", {tier: use.nbytes for tier, use in tiers.items()})
        yield _gauge("mimi_tier_budget_bytes", "Most bytes held.", {tier: use.budget for tier, use in tiers.items()})
        yield _gauge("mimi_tier_adapters", "Adapters held.", {tier: use.tasks for tier, use in tiers.items()})
        yield _gauge(
            "mimi_tier_pinned_adapters",
            "Adapters held that are never evicted.",
            {tier: use.pinned for tier, use in tiers.items()},
        )
        lookups = CounterMetricFamily("mimi_tier_lookups", "Lookups of adapters.", labels=("tier", "result"))
        evictions = CounterMetricFamily("mimi_tier_evictions", "Adapters evicted to make room.", labels=("tier",))
        for tier, use in tiers.items():
            lookups.add_metric((tier, "hit"), use.hits)
            lookups.add_metric((tier, "miss"), use.misses)
            evictions.add_metric((tier,), use.evictions)
        yield lookups
        yield evictions


def _gauge(name: str, help_text: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=("tier",))
    for tier, value in values.items():
        family.add_metric((tier,), value)
    return family
