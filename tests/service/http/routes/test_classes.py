"""A class added to a task over a real socket: no old image is sent, and the new version tells all classes apart."""

from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from adapters_store import Statistics, pack, unpack
from adapters_store.answers import SIGMOID, SOFTMAX
from adapters_store.statistics import statistics_of
from service.client import Client, Conflict
from service.schemas import UploadAnswer
from service.settings import Settings
from tests.service.adapters import make
from tests.service.hostile import refused
from tests.service.live import Live, encode, serving

COLOURS = {"class 0": (220, 40, 40), "class 1": (40, 200, 40), "blue": (40, 40, 220)}
IMAGES = 12  # of each class


def pictures(label: str, count: int = IMAGES, *, seed: int = 1) -> list[bytes]:
    """Images of one colour with noise."""
    random, base = np.random.default_rng((seed, *COLOURS[label])), np.array(COLOURS[label])
    noisy = (base + random.normal(0, 30, (32, 32, 3)) for _ in range(count))
    return [encode(pixels.clip(0, 255).astype(np.uint8)) for pixels in noisy]


def form(images: list[bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", ("x.png", image)) for image in images]


def features(live: Live, task: str, label: str) -> np.ndarray:
    answer = live.client.post(f"/v1/tasks/{task}/predict?output=features", files=form(pictures(label)))
    return np.array([result["features"] for result in answer.json()["results"]], np.float32)


def publish(live: Live, task: str, *, activation: str = SOFTMAX) -> None:
    """A task of two colours, and of random weights, with the statistics of its own features."""
    plain = make(50, classes=2, activation=activation)
    live.client.put(f"/v1/tasks/{task}", content=plain.data)
    found = np.concatenate([features(live, task, label) for label in list(COLOURS)[:2]])
    counts, arrays = statistics_of(found, np.repeat([0, 1], IMAGES), 2)
    manifest = replace(plain.adapter.manifest, statistics=Statistics(counts, 0.1, 0.1))
    data = pack(replace(plain.adapter, manifest=manifest, statistics=arrays))
    assert live.client.put(f"/v1/tasks/{task}", content=data).status_code == 201


def add(live: Live, task: str, query: str = "", **headers: str) -> httpx.Response:
    return live.client.post(
        f"/v1/tasks/{task}/classes{query}", files=form(pictures("blue")), data={"label": "blue"}, headers=headers
    )


def test_the_new_version_knows_all_classes_and_passed_every_check(live: Live, task: str) -> None:
    publish(live, task)
    response = add(live, task)
    found = UploadAnswer.model_validate_json(response.content)
    assert (response.status_code, found.version, found.created, found.active) == (201, 3, True, True)
    assert {"container", "golden sample", "shapes", "generation"} <= {check.name for check in found.checks}
    for label in COLOURS:
        answer = live.client.post(f"/v1/tasks/{task}/predict?top_k=1", files=form(pictures(label, 5, seed=2)))
        results = answer.json()["results"]
        assert [result["predictions"][0]["label"] for result in results] == [label] * 5
        assert all(result["known"] for result in results)
    versions = [unpack(live.client.get(f"/v1/tasks/{task}/versions/{number}/file").content) for number in (2, 3)]
    for site, weights in versions[0].sites.items():
        np.testing.assert_array_equal(versions[1].sites[site].down, weights.down)
    assert versions[1].manifest.statistics is not None
    assert versions[1].manifest.statistics.counts == (IMAGES,) * 3


def test_a_dry_run_and_a_version_that_is_not_activated(live: Live, task: str) -> None:
    publish(live, task)
    assert (add(live, task, "?dry_run=true").status_code, len(versions(live, task))) == (200, 2)
    assert add(live, task, "?activate=false").json()["active"] is False
    assert live.client.get(f"/v1/tasks/{task}").json()["version"] == 2
    assert len(versions(live, task)) == 3


def versions(live: Live, task: str) -> list[object]:
    found: list[object] = live.client.get(f"/v1/tasks/{task}/versions").json()["versions"]
    return found


def test_a_file_without_statistics_says_how_to_get_them(live: Live) -> None:
    response = add(live, "cats")
    refused(response, 409)
    assert response.json()["code"] == "no_statistics"
    assert "mimi statistics" in response.json()["detail"]


def test_a_class_that_cannot_be_added_is_refused_and_nothing_is_published(live: Live, task: str) -> None:
    publish(live, task)
    path = f"/v1/tasks/{task}/classes"
    blue = form(pictures("blue"))
    for status, code, response in (
        (409, "label_exists", live.client.post(path, files=blue, data={"label": "class 1"})),
        (422, "too_few_images", live.client.post(path, files=blue[:1], data={"label": "blue"})),
        (422, "invalid_request", live.client.post(path, files=blue)),
        (422, "invalid_request", live.client.post(path, files=blue, data={"name": "blue"})),
        (422, "invalid_request", live.client.post(path, content=b"x")),
        (422, "invalid_request", live.client.post(f"{path}?lable=blue", files=blue)),
        (422, "invalid_field", live.client.post(path, files=blue, data={"label": "two\nlines"})),
        (415, "unsupported_format", live.client.post(f"{path}?label=x", files=[("images", ("x", b"not an image"))])),
        (412, "stale_generation", add(live, task, **{"If-Match": '"1"'})),
    ):
        refused(response, status)
        assert response.json()["code"] == code
    assert len(versions(live, task)) == 2
    refused(add(live, "no-such-task"), 404)


def test_a_task_of_independent_labels_takes_no_class(live: Live, task: str) -> None:
    publish(live, task, activation=SIGMOID)
    response = add(live, task)
    refused(response, 409)
    assert response.json()["code"] == "not_exclusive"


def test_the_client_adds_a_class(live: Live, task: str) -> None:
    publish(live, task)
    with Client(f"http://127.0.0.1:{live.port}") as client:
        generation = client.task(task).generation
        answer = client.add_class(task, "blue", images=pictures("blue"), generation=generation)
        assert (answer.version, answer.created) == (3, True)
        with pytest.raises(Conflict):
            client.add_class(task, "green", images=pictures("blue"), generation=generation)


def test_the_number_of_images_is_bounded(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path / "store.db"), class_images=IMAGES - 1, request_seconds=60.0)
    with serving(settings, {}) as live:
        publish(live, "colours")
        refused(add(live, "colours"), 422)
