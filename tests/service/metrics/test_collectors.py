"""Gauges that are read at each scrape: the engine, the queue, the store, and the state of each task."""

import pytest

from adapters_store import open_store
from service.settings import Settings
from tests.service.adapters import make
from tests.service.asking import predict, put, raw
from tests.service.live import Live, serving
from tests.service.scraping import labels_of, value


def test_the_engine_and_its_queue_are_seen(live: Live) -> None:
    assert (value(live, "mimi_ready"), value(live, "mimi_engine_up")) == (1, 1)
    assert value(live, "mimi_queue_images") == 0
    assert value(live, "mimi_queue_limit_images") == live.service.settings.queue_images


def test_what_runs_here_is_named(live: Live) -> None:
    (build,) = labels_of(live, "mimi_build_info")
    assert build["backbone"] == live.service.engine.backbone.name
    assert build["fingerprint"] == live.service.engine.backbone.fingerprint
    assert build.keys() == {"version", "backbone", "fingerprint", "python", "torch"}


def test_the_store_is_followed(live: Live, task: str) -> None:
    before = value(live, "mimi_store_generation")
    put(live, task, make(95).data)
    assert value(live, "mimi_store_generation") > before
    assert 0 <= value(live, "mimi_store_age_seconds") < 60


def test_the_process_is_measured(live: Live) -> None:
    assert value(live, "process_resident_memory_bytes") > 1e6


def test_every_task_is_in_one_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(store=str(tmp_path_factory.mktemp("states") / "store.db"))
    tasks = {"cats": make(1), "dogs": make(2), "foreign": make(3)}
    with serving(settings, tasks) as live:
        live.client.put("/v1/tasks/idle?activate=false", content=make(4).data)
        live.client.post("/v2/repository/models/dogs/unload")
        states = {state: value(live, "mimi_tasks", state=state) for state in ("ready", "not_live", "unloaded")}
        assert states == {"ready": 2, "not_live": 1, "unloaded": 1}
        assert value(live, "mimi_tasks", state="unavailable") == 0


def test_a_task_that_cannot_be_served_is_unavailable(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("damaged") / "store.db")
    store = open_store(path)
    store.publish("broken", b"no task adapter")
    store.close()
    with serving(Settings(store=path), {"cats": make(1)}) as live:
        assert value(live, "mimi_tasks", state="unavailable") == 1
        assert value(live, "mimi_tasks", state="ready") == 1


def test_no_more_tasks_are_named_than_may_be_and_the_busiest_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(store=str(tmp_path_factory.mktemp("many") / "store.db"), metrics_tasks=2)
    with serving(settings, {f"task-{index}": make(1) for index in range(5)}) as live:
        assert len(labels_of(live, "mimi_adapter_info")) == 2
        for task in ("task-3", "task-4"):
            predict(live, task, raw())
        assert {labels["task"] for labels in labels_of(live, "mimi_adapter_info")} == {"task-3", "task-4"}
        assert value(live, "mimi_tasks", state="ready") == 5
