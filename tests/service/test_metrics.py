"""What Prometheus reads: requests, latency and FLOPs by task, and nothing that a client could invent."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.adapters import make, saved_flops
from tests.service.asking import PNG, form, predict, put, raw
from tests.service.live import Live, encode, picture


def scrape(live: Live) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = live.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    samples = (sample for family in families for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(live: Live, name: str, **labels: str) -> float:
    return scrape(live).get((name, frozenset(labels.items())), 0.0)


def test_predictions_are_counted_by_task_version_and_status(live: Live, task: str) -> None:
    put(live, task, make(90).data)
    for body in (raw(), raw(), raw(b"no image")):
        predict(live, task, body)
    assert value(live, "mimi_requests_total", task=task, version="1", code="200") == 2
    assert value(live, "mimi_requests_total", task=task, version="1", code="415") == 1
    assert value(live, "mimi_request_duration_seconds_count", task=task) == 3


def test_flops_are_counted_for_every_image(live: Live, task: str) -> None:
    new = make(91)
    put(live, task, new.data)
    predict(live, task, form(*(encode(picture(seed)) for seed in range(3))))
    spent, saved = new.adapter.manifest.provenance.flops / 1e9, saved_flops(new) / 1e9
    assert value(live, "mimi_gflops_spent_total", task=task) == pytest.approx(3 * spent)
    assert value(live, "mimi_gflops_saved_total", task=task) == pytest.approx(3 * saved)
    assert value(live, "mimi_gflops_shared_total", task=task) == 0


def test_flops_that_images_share_are_counted_apart(live: Live, task: str) -> None:
    new = make(91)
    put(live, task, new.data)
    predict(live, task, form(PNG, PNG, PNG))
    alone = new.adapter.manifest.provenance.flops / 1e9
    assert value(live, "mimi_gflops_spent_total", task=task) == pytest.approx(alone)
    assert value(live, "mimi_gflops_shared_total", task=task) == pytest.approx(2 * alone)


def test_batches_are_measured(live: Live) -> None:
    names = ("mimi_batch_images_sum", "mimi_batch_distinct_tasks_count", "mimi_forward_seconds_count")
    before = [value(live, name) for name in (*names, "mimi_queue_wait_seconds_count")]
    predict(live, "cats", form(PNG, PNG))
    after = [value(live, name) for name in (*names, "mimi_queue_wait_seconds_count")]
    assert (after[0] - before[0], after[3] - before[3]) == (2, 2)
    assert after[1] > before[1]
    assert after[2] > before[2]


def test_what_is_resident_is_named_with_its_content(live: Live, task: str) -> None:
    before = value(live, "mimi_adapter_bytes")
    new = make(92)
    put(live, task, new.data)
    assert value(live, "mimi_adapter_info", task=task, version="1", sha256=new.sha256) == 1
    assert value(live, "mimi_adapter_bytes") > before
    put(live, task, make(93).data)
    assert value(live, "mimi_adapter_info", task=task, version="1", sha256=new.sha256) == 0


def test_refusals_are_counted_by_code(live: Live) -> None:
    before = value(live, "mimi_rejected_total", reason="unsupported_format")
    predict(live, "cats", raw(b"no image"))
    assert value(live, "mimi_rejected_total", reason="unsupported_format") == before + 1


def test_an_unknown_task_makes_no_series(live: Live) -> None:
    before = value(live, "mimi_requests_total", task="-", version="-", code="404")
    for name in ("nobody-a", "nobody-b"):
        predict(live, name, raw())
    assert value(live, "mimi_requests_total", task="-", version="-", code="404") == before + 2
    assert not any("nobody" in dict(labels).get("task", "") for _, labels in scrape(live))


def test_a_deleted_task_leaves_no_series(live: Live, task: str) -> None:
    put(live, task, make(94).data)
    predict(live, task, raw())
    assert any(dict(labels).get("task") == task for _, labels in scrape(live))
    live.client.delete(f"/v1/tasks/{task}")
    assert not any(dict(labels).get("task") == task for _, labels in scrape(live))
