"""Counters for Prometheus: requests, latency and FLOPs by task. No label is a client's invention."""

from pathlib import Path

import httpx2 as httpx
import pytest

from service.settings import Settings
from tests.service.adapters import make, saved_flops
from tests.service.asking import PNG, form, predict, put, raw
from tests.service.live import Live, encode, picture, serving
from tests.service.scraping import labels_of, samples, scrape, value

KEYS = {"predict_key": "p" * 16, "manage_key": "m" * 16, "metrics_key": "s" * 16}


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
    before = value(live, "mimi_tier_bytes", tier="device")
    new = make(92)
    put(live, task, new.data)
    assert value(live, "mimi_adapter_info", task=task, version="1", sha256=new.sha256) == 1
    assert value(live, "mimi_tier_bytes", tier="device") > before
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


def test_what_an_upload_came_to_is_counted(live: Live, task: str) -> None:
    outcomes = ("published", "known", "dry_run", "refused", "failed")
    before = [value(live, "mimi_uploads_total", outcome=outcome) for outcome in outcomes]
    seconds = value(live, "mimi_upload_duration_seconds_count")
    live.client.put(f"/v1/tasks/{task}?dry_run=true", content=make(96).data)
    for data in (make(96).data, make(96).data, b"no adapter"):
        put(live, task, data)
    after = [value(live, "mimi_uploads_total", outcome=outcome) for outcome in outcomes]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1, 1, 0]
    assert value(live, "mimi_upload_duration_seconds_count") == seconds + 4


def test_each_image_is_timed_while_it_is_decoded(live: Live) -> None:
    before = value(live, "mimi_decode_seconds_count")
    predict(live, "cats", form(PNG, PNG, PNG))
    assert value(live, "mimi_decode_seconds_count") == before + 3


def test_how_much_of_each_answer_was_shared_is_measured(live: Live) -> None:
    before = [value(live, f"mimi_trunk_share_ratio_{part}") for part in ("count", "sum")]
    live.client.post("/v1/predict?tasks=cats&tasks=bare", content=PNG)
    after = [value(live, f"mimi_trunk_share_ratio_{part}") for part in ("count", "sum")]
    assert after[0] == before[0] + 2
    assert 0 < after[1] - before[1] < 2


def test_another_live_version_is_a_swap_and_a_first_one_is_none(live: Live, task: str) -> None:
    before = value(live, "mimi_swaps_total")
    put(live, task, make(97).data)
    assert value(live, "mimi_swaps_total") == before
    put(live, task, make(98).data)
    live.client.post(f"/v1/tasks/{task}/rollback")
    assert value(live, "mimi_swaps_total") == before + 2


def test_nothing_is_under_way_when_all_is_answered(live: Live) -> None:
    predict(live, "cats", raw())
    assert value(live, "mimi_requests_in_progress") == 0


def test_tasks_beyond_the_limit_are_counted_together(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path / "store.db"), metrics_tasks=2)
    with serving(settings, {f"task-{index}": make(1) for index in range(4)}) as live:
        for index in (0, 1, 2, 3, 3):
            predict(live, f"task-{index}", raw())
        assert value(live, "mimi_requests_total", task="task-0", version="1", code="200") == 1
        assert value(live, "mimi_requests_total", task="_other", version="_other", code="200") == 3
        assert value(live, "mimi_request_duration_seconds_count", task="_other") == 3
        for _ in range(9):
            predict(live, "task-3", raw())
        tasks = {labels["task"] for labels in labels_of(live, "mimi_requests_total")}
        assert len(tasks - {"_other"}) == 2
        assert "task-3" in tasks


def test_a_refused_key_is_counted_by_its_name_and_never_by_its_value(tmp_path: Path) -> None:
    with serving(Settings.model_validate({"store": str(tmp_path / "store.db"), **KEYS}), {"cats": make(1)}) as live:

        def ask(key: str | None) -> httpx.Response:
            return live.client.get("/metrics", headers={"Authorization": f"Bearer {key}"} if key else {})

        assert [ask(key).status_code for key in (None, "x" * 16, KEYS["predict_key"])] == [401, 401, 403]
        text = ask(KEYS["metrics_key"]).text
    refusals = {labels: value for (name, labels), value in samples(text).items() if name == "mimi_key_refusals_total"}
    assert refusals == {
        frozenset({("key", "-"), ("reason", "unauthorized")}): 2,
        frozenset({("key", "predict_key"), ("reason", "forbidden")}): 1,
    }
    assert not any(key in text for key in (*KEYS.values(), "x" * 16))


def test_every_name_has_a_base_unit_and_no_colon(live: Live) -> None:
    predict(live, "cats", raw())
    ours = {name for name, _ in scrape(live) if name.startswith("mimi_")}
    assert not any(":" in name for name in ours)
    assert not any(word in name for name in ours for word in ("_ms", "millis", "_kb", "percent", "_created"))
