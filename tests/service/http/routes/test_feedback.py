"""Corrections over a real socket: opt-in, bounded, by a key of their own, readable and deletable, never in logs."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from adapters_store.answers import SIGMOID, SOFTMAX
from mimi.cli import main
from service.settings import Settings
from tests.service.adapters import make
from tests.service.hostile import refused
from tests.service.live import Live, encode, picture, serving

PREDICT, MANAGE, FEEDBACK = "predict-key-0123456789", "manage-key-0123456789", "feedback-key-0123456789"
IMAGES = [encode(picture(seed)) for seed in range(4)]
PATH = "/v1/tasks/cats/feedback"
TASKS = {"cats": make(1, activation=SOFTMAX), "many": make(2, activation=SIGMOID), "closed": make(3)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "feedback.db"


@pytest.fixture
def server(tmp_path: Path, place: Path) -> Iterator[Live]:
    values: dict[str, Any] = {"feedback": place, "feedback_tasks": "cats,many", "request_seconds": 60.0}
    with serving(Settings(store=str(tmp_path / "store.db"), feedback_images=3, **values), TASKS) as live:
        yield live


def correct(live: Live, image: bytes, *labels: str, task: str = "cats") -> httpx.Response:
    form = {"label": list(labels)}
    return live.client.post(f"/v1/tasks/{task}/feedback", files={"image": ("x", image)}, data=form)


def test_an_image_is_kept_with_its_label_and_what_the_task_said(server: Live) -> None:
    response = correct(server, IMAGES[0], "class 3")
    kept = response.json()
    said = server.client.post("/v1/tasks/cats/predict?top_k=1", content=IMAGES[0]).json()["results"][0]
    assert response.status_code == 201
    assert (kept["labels"], kept["predicted"]) == (["class 3"], said["predictions"][0]["label"])
    assert kept["probability"] == pytest.approx(said["predictions"][0]["probability"])
    assert kept["unknown_score"] == pytest.approx(said["unknown_score"])
    assert server.client.get(PATH).json() == {"task": "cats", "corrections": [kept]}
    assert server.client.get(f"{PATH}/{kept['id']}/image").content == IMAGES[0]


def test_an_image_is_named_by_the_request_that_it_came_with(server: Live) -> None:
    form = [("images", ("x", image)) for image in IMAGES[:2]]
    asked = server.client.post("/v1/tasks/cats/predict", files=form)
    named = {"request_id": asked.headers["x-request-id"], "index": 1, "labels": ["a class that is new"]}
    kept = server.client.post(PATH, json=named).json()
    assert server.client.get(f"{PATH}/{kept['id']}/image").content == IMAGES[1]
    assert kept["version"] == 1
    for wrong in ({**named, "index": 2}, {**named, "request_id": "never-seen"}):
        response = server.client.post(PATH, json=wrong)
        refused(response, 404)
        assert response.json()["code"] == "unknown_request"


def test_images_of_many_tasks_are_remembered_for_those_that_are_open(server: Live) -> None:
    asked = server.client.post("/v1/predict?tasks=cats&tasks=closed", content=IMAGES[0])
    named = {"request_id": asked.headers["x-request-id"], "labels": ["class 1"]}
    assert server.client.post(PATH, json=named).status_code == 201
    refused(server.client.post("/v1/tasks/closed/feedback", json=named), 409)


def test_a_task_that_is_not_open_keeps_nothing(server: Live, live: Live) -> None:
    for response in (correct(server, IMAGES[0], "class 1", task="closed"), correct(live, IMAGES[0], "class 1")):
        refused(response, 409)
        assert response.json()["code"] == "feedback_off"
    refused(server.client.get("/v1/tasks/closed/feedback"), 409)


def test_labels_are_one_for_exclusive_classes_and_any_number_for_independent_ones(server: Live) -> None:
    for labels in ((), ("class 1", "class 2"), ("two\nlines",), (" ",)):
        refused(correct(server, IMAGES[0], *labels), 422)
    assert correct(server, IMAGES[0], task="many").json()["labels"] == []
    assert correct(server, IMAGES[1], "class 1", "class 2", task="many").json()["labels"] == ["class 1", "class 2"]
    refused(correct(server, IMAGES[1], "class 1", "class 1", task="many"), 422)


def test_a_body_that_is_no_correction_is_refused(server: Live) -> None:
    refused(correct(server, b"not an image", "class 1"), 415)
    refused(server.client.post(PATH, data={"label": "class 1"}, files={"more": ("x", b"")}), 415, 422)
    refused(server.client.post(PATH, json={"labels": ["class 1"]}), 422)
    refused(server.client.post(PATH, content=IMAGES[0]), 400, 422)
    refused(server.client.post(PATH, files={"image": ("x", IMAGES[0])}, data={"lable": "class 1"}), 422)
    assert server.client.get(PATH).json()["corrections"] == []


def test_what_is_full_says_so_and_what_is_deleted_makes_room(server: Live) -> None:
    for image in IMAGES[:3]:
        correct(server, image, "class 1")
    response = correct(server, IMAGES[3], "class 1")
    refused(response, 507)
    assert response.json()["code"] == "feedback_full"
    listed = server.client.get(PATH).json()["corrections"]
    assert server.client.delete(f"{PATH}/{listed[0]['id']}").status_code == 204
    refused(server.client.delete(f"{PATH}/{listed[0]['id']}"), 404)
    assert correct(server, IMAGES[3], "class 1").status_code == 201
    assert server.client.delete(PATH).status_code == 204
    assert server.client.get(PATH).json()["corrections"] == []


def test_corrections_are_counted(server: Live) -> None:
    said = server.client.post("/v1/tasks/cats/predict?top_k=1", content=IMAGES[0]).json()["results"][0]
    right = said["predictions"][0]["label"]
    correct(server, IMAGES[0], right)
    correct(server, IMAGES[1], "something else")
    text = server.client.get("/metrics").text
    for confirmed in ("true", "false"):
        assert f'mimi_corrections_total{{confirmed="{confirmed}",task="cats"}} 1.0' in text


def test_nothing_of_a_correction_is_logged(server: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    correct(server, IMAGES[0], "a label that is private")
    server.client.get(PATH)
    assert "private" not in caplog.text


def test_a_key_of_its_own_opens_corrections_and_nothing_else(tmp_path: Path, place: Path) -> None:
    keys = {"predict_key": PREDICT, "manage_key": MANAGE, "feedback_key": FEEDBACK}
    values = {"store": str(tmp_path / "store.db"), "feedback": place, "feedback_tasks": "*", **keys}
    with serving(Settings.model_validate(values), TASKS) as live:
        for key, status in ((FEEDBACK, 200), (MANAGE, 200), (PREDICT, 403), ("wrong-key-0123456789", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert live.client.get(PATH, headers=headers).status_code == status
        headers = {"Authorization": f"Bearer {FEEDBACK}"}
        for method, path in (("GET", "/v1/tasks"), ("DELETE", "/v1/tasks/cats"), ("GET", "/metrics")):
            refused(live.client.request(method, path, headers=headers), 403)


@pytest.mark.parametrize("source", ["file", "server"])
def test_an_export_is_a_training_set_with_the_uncertain_first(
    server: Live, place: Path, tmp_path: Path, source: str
) -> None:
    for image, label in zip(IMAGES[:3], ("one", "two", "one"), strict=True):
        correct(server, image, label)
    where = str(place) if source == "file" else f"http://127.0.0.1:{server.port}"
    out = tmp_path / "set"
    assert main(["feedback", "export", where, str(out), "--task", "cats"]) == 0
    listed = server.client.get(PATH).json()["corrections"]
    names = {each["labels"][0] for each in listed}
    assert {path.name for path in out.iterdir()} == names == {"one", "two"}
    files = sorted(out.rglob("*.png"), key=lambda path: path.name)
    images = [server.client.get(f"{PATH}/{each['id']}/image").content for each in listed]
    assert [path.read_bytes() for path in files] == images
    assert main(["feedback", "export", where, str(out), "--task", "cats"]) == 2
    assert main(["feedback", "export", where, str(tmp_path / "set.parquet"), "--task", "cats"]) == 0
