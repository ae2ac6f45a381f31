"""A real Prometheus reads a real server with the metrics key; every query of the dashboard gives data."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2 as httpx
import pytest

from adapters_store import open_store
from tests.deploy.configuration import REFERENCE, alerts, metrics_in, needs_prometheus, queries
from tests.deploy.prometheus import Prometheus, scraping
from tests.service.adapters import make
from tests.service.asking import PNG
from tests.service.live import PATIENCE
from tests.service.processes import running
from tests.service.scraping import samples

pytestmark = [needs_prometheus, pytest.mark.timeout(400)]  # the server's process imports torch

PREDICT, MANAGE, METRICS = "p" * 16, "m" * 16, "s" * 16
KEYS = {"predict_key": PREDICT, "manage_key": MANAGE, "metrics_key": METRICS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server as a process, with keys."""
    store = str(tmp_path_factory.mktemp("store") / "store.db")
    opened = open_store(store)
    opened.publish("cats", make(1).data)
    opened.publish("broken", b"no task adapter")
    opened.close()
    with (
        running("service", store=store, key_rate="50", **KEYS) as (_, address),
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def prometheus(server: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen the server do everything that is counted, twice: rates need a rise."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with scraping(server.base_url.netloc.decode(), METRICS, folder) as asked:
        for times in (1, 2):
            work(server, times)
            asked.until(partial(has_seen, time.time()))
        yield asked


def has_seen(done: float, prometheus: Prometheus) -> bool:
    """Whether a scrape began after `done` (seconds since 1970), and found the broken adapter tried."""
    scraped = prometheus.value('timestamp(up{job="mimi"})')
    failed = prometheus.value("sum(mimi_adapter_load_failures_total)")
    return bool(failed) and scraped is not None and scraped > done


def work(server: httpx.Client, seed: int) -> None:
    """Uploads, a swap, predictions and refusals."""
    manage, predict = ({"Authorization": f"Bearer {key}"} for key in (MANAGE, PREDICT))
    data = make(seed, activation="softmax", threshold=1e-3).data  # no image is known
    assert server.put("/v1/tasks/dogs", content=data, headers=manage).status_code == 201
    for task in ("cats", "dogs"):
        assert server.post(f"/v1/tasks/{task}/predict", content=PNG, headers=predict).status_code == 200
    assert server.post("/v1/predict?tasks=cats&tasks=dogs", content=PNG, headers=predict).status_code == 200
    assert server.post("/v1/tasks/cats/predict", content=b"no image", headers=predict).status_code == 415
    assert server.get("/v1/tasks").status_code == 401
    for key, status in ((PREDICT, 403), ("x" * 16, 401), (METRICS, 200)):
        assert server.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == status


def test_it_is_up_and_no_alert_fires(prometheus: Prometheus) -> None:
    assert prometheus.value('up{job="mimi"}') == 1
    found = prometheus.get("/api/v1/alerts")["alerts"]
    assert [alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"] == []


def test_prometheus_takes_every_rule(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}
    prometheus.until(lambda asked: all(
        rule["health"] == "ok" for group in asked.get("/api/v1/rules")["groups"] for rule in group["rules"]
    ))  # fmt: skip


def test_every_query_of_the_dashboard_gives_data(prometheus: Prometheus) -> None:
    nothing = [(title, query) for title, query in queries() if not prometheus.query(query)]
    assert nothing == []


@pytest.fixture
def given(server: httpx.Client, prometheus: Prometheus) -> set[str]:
    """The names of what the server gives."""
    page = server.get("/metrics", headers={"Authorization": f"Bearer {METRICS}"}).text
    return {name for found, _ in samples(page) for name in metrics_in(found)}


def asked_for() -> set[str]:
    """The names in all queries of the dashboard and of the alerts."""
    asked = [*(query for _, query in queries()), *(rule["expr"] for rule in alerts())]
    return {name for query in asked for name in metrics_in(query)}


def test_every_metric_that_is_asked_for_is_one_that_the_server_gives(given: set[str]) -> None:
    assert asked_for() - given == set()


def test_every_metric_of_ours_is_asked_for(given: set[str]) -> None:
    assert {name for name in given if name.startswith("mimi_")} - asked_for() == set()


def test_every_metric_of_ours_is_explained(given: set[str]) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert {name for name in given if name.startswith("mimi_") and f"`{name}`" not in text} == set()


def test_what_prometheus_has_seen_is_what_happened(prometheus: Prometheus) -> None:
    assert prometheus.value('sum(mimi_requests_total{task="cats", code="200"})') == 4
    assert prometheus.value('sum(mimi_requests_total{task="cats", code="415"})') == 2
    assert prometheus.value('mimi_key_refusals_total{key="-", reason="unauthorized"}') == 4
    assert prometheus.value('sum(mimi_key_refusals_total{reason="forbidden"})') == 2
    assert prometheus.value('mimi_adapter_info{task="dogs", version="2"}') == 1
