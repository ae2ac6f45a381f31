"""Reading a server's metrics as Prometheus would."""

from prometheus_client.parser import text_string_to_metric_families

from tests.service.live import Live

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Every sample of a page of metrics, by name and labels."""
    families = text_string_to_metric_families(text)
    found = (sample for family in families for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def scrape(live: Live) -> Samples:
    response = live.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return samples(response.text)


def value(live: Live, name: str, **labels: str) -> float:
    return scrape(live).get((name, frozenset(labels.items())), 0.0)


def labels_of(live: Live, name: str) -> list[dict[str, str]]:
    """The labels of every series of this name."""
    return [dict(labels) for found, labels in scrape(live) if found == name]
