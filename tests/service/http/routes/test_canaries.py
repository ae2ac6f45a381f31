"""Canaries over a real socket: by chance, or the same version for the same key or the same image."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput  # type: ignore[import-untyped]

from service.client import AsyncClient, Client
from service.settings import Settings
from tests.service.adapters import make
from tests.service.asking import PNG, form, json, put
from tests.service.live import Live, encode, picture, serving
from tests.service.scraping import scrape, value

KEYS = [f"customer-{number}" for number in range(40)]


@pytest.fixture
def canary(live: Live, task: str) -> str:
    """A task of two versions, half of its traffic to each."""
    for seed in (1081, 1082):
        put(live, task, make(seed).data)
    split(live, task, {"1": 1, "2": 1})
    return task


def split(live: Live, task: str, weights: dict[str, float]) -> None:
    assert live.client.put(f"/v1/tasks/{task}/aliases/live", json={"weights": weights}).status_code == 200


def version(response: httpx.Response) -> int:
    assert response.status_code == 200, response.text
    body = response.json()
    found = body["answers"][0] if "answers" in body else body
    return int(found.get("version") or found["model_version"])


def by_key(live: Live, task: str, key: str, path: str = "/v1/tasks/{task}/predict") -> int:
    headers = {"X-Canary-Key": key, "Inference-Header-Content-Length": "0"}
    if path.startswith("/v2"):
        body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [_B64]}]}
        return version(live.client.post(path.format(task=task), json=body, headers={"X-Canary-Key": key}))
    return version(live.client.post(path.format(task=task), content=PNG, headers=headers))


_B64 = json(PNG)["json"]["images"][0]


def test_a_key_gets_one_version_on_every_route_and_both_versions_get_keys(live: Live, canary: str) -> None:
    paths = ["/v1/tasks/{task}/predict", "/v1/tasks/{task}/aliases/live/predict", "/v1/predict?tasks={task}",
             "/v2/models/{task}/infer", "/v1/tasks/{task}/predict?top_k=1&output=logits"]  # fmt: skip
    found = {key: {by_key(live, canary, key, path) for path in paths} for key in KEYS[:8]}
    assert all(len(versions) == 1 for versions in found.values())
    assert len({by_key(live, canary, key) for key in KEYS}) == 2


def test_a_key_gets_the_same_version_of_every_server(live: Live, canary: str, tmp_path: Path) -> None:
    wanted = [by_key(live, canary, key) for key in KEYS[:10]]
    with serving(Settings(store=str(tmp_path / "other.db"), request_seconds=60.0)) as other:
        for seed in (1081, 1082):
            put(other, canary, make(seed).data)
        split(other, canary, {"1": 0.5, "2": 0.5})
        assert [by_key(other, canary, key) for key in KEYS[:10]] == wanted


def test_when_a_canary_grows_no_key_leaves_it(live: Live, canary: str) -> None:
    parts = []
    for weights in ({"1": 0.8, "2": 0.2}, {"1": 0.5, "2": 0.5}, {"1": 0.1, "2": 0.9}):
        split(live, canary, weights)
        parts.append({key for key in KEYS if by_key(live, canary, key) == 2})
    assert parts[0] < parts[1] < parts[2]


def test_the_same_image_gets_the_same_version_in_any_form(live: Live, canary: str) -> None:
    images, headers = [encode(picture(seed)) for seed in range(12)], {"X-Canary-By": "image"}
    url = f"/v1/tasks/{canary}/predict"
    found = []
    for image in images:
        answers = [
            live.client.post(url, headers=headers, content=image),
            live.client.post(url, headers=headers, **form(image)),
            live.client.post(url, headers=headers, **json(image)),
            live.client.post(f"/v1/predict?tasks={canary}", headers=headers, content=image),
            live.client.post(
                f"/v2/models/{canary}/infer", headers={**headers, "Inference-Header-Content-Length": "0"}, content=image
            ),
        ]
        versions = {version(answer) for answer in answers[:4]}
        assert len(versions) == 1
        assert f'"model_version": "{min(versions)}"'.encode() in answers[4].content
        found.append(min(versions))
    assert set(found) == {1, 2}


def test_without_a_key_each_request_is_drawn_anew(live: Live, canary: str) -> None:
    url = f"/v1/tasks/{canary}/predict"
    assert set(Counter(version(live.client.post(url, content=PNG)) for _ in range(40))) == {1, 2}


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Canary-Key", "")],
        [("X-Canary-Key", "x" * 257)],
        [("X-Canary-Key", "two words")],
        [("X-Canary-Key", "a"), ("X-Canary-Key", "b")],
        [("X-Canary-Key", "a"), ("X-Canary-By", "image")],
        [("X-Canary-By", "customer")],
    ],
)
@pytest.mark.parametrize("path", ["/v1/tasks/cats/predict", "/v1/predict", "/v2/models/cats/infer"])
def test_a_key_that_is_none_is_refused(live: Live, path: str, headers: list[tuple[str, str]]) -> None:
    response = live.client.post(path, content=PNG, headers=headers)
    assert response.status_code == 400
    assert "X-Canary" in response.text


def test_a_public_client_of_the_protocol_can_send_a_key(live: Live, canary: str) -> None:
    tensor = InferInput("image", [1], "BYTES").set_data_from_numpy(np.array([PNG], dtype=np.object_))
    with InferenceServerClient(f"127.0.0.1:{live.port}", network_timeout=60.0) as client:
        for key in KEYS[:6]:
            result = client.infer(canary, [tensor], headers={"X-Canary-Key": key})
            assert int(result.get_response()["model_version"]) == by_key(live, canary, key)


def test_our_clients_stick_to_a_key(live: Live, canary: str) -> None:
    url = str(live.client.base_url)
    wanted = [by_key(live, canary, key) for key in KEYS[:6]]
    with Client(url) as client:
        assert [client.sticking_to(key).predict(canary, PNG).version for key in KEYS[:6]] == wanted

    async def ask() -> list[int]:
        async with AsyncClient(url) as other:
            return [(await other.sticking_to(key).predict(canary, PNG)).version for key in KEYS[:6]]

    assert asyncio.run(ask()) == wanted


def test_latency_is_measured_by_version_only_while_there_is_a_canary(live: Live, canary: str) -> None:
    def counted(number: int) -> float:
        return value(live, "mimi_canary_duration_seconds_count", task=canary, version=str(number))

    answered = Counter(by_key(live, canary, key) for key in KEYS[:20])
    live.client.post(f"/v1/tasks/{canary}/versions/2/predict", content=PNG)  # one of them, whoever asks for it
    assert (counted(1), counted(2)) == (answered[1], answered[2] + 1)
    live.client.put(f"/v1/tasks/{canary}/aliases/live", json={"version": 2})
    live.client.post(f"/v1/tasks/{canary}/predict", content=PNG)
    assert (counted(1), counted(2)) == (answered[1], answered[2] + 1)
    assert value(live, "mimi_request_duration_seconds_count", task=canary) == 22
    live.client.delete(f"/v1/tasks/{canary}")
    assert not any(dict(labels).get("task") == canary for _, labels in scrape(live))
