"""Many tasks about the same images, over a real socket; and one task by an alias or a version."""

import base64
from collections.abc import Callable

import httpx2 as httpx
import numpy as np
import pytest

from service.schemas import FanoutAnswer
from tests.service.adapters import Made, make
from tests.service.asking import IMAGE, PNG, Body, answer, form, json, named, predict, probabilities, put, raw
from tests.service.live import Live, encode, picture


def fan_out(live: Live, body: Body, query: str = "") -> FanoutAnswer:
    response = live.client.post(f"/v1/predict{query}", **body)
    assert response.status_code == 200, response.text
    return FanoutAnswer.model_validate_json(response.content)


NAMED: list[Callable[[Live], FanoutAnswer]] = [
    lambda live: fan_out(live, raw(), "?tasks=dogs&tasks=bare&tasks=cats"),
    lambda live: fan_out(live, {"files": [("a", PNG), *(("tasks", (None, t)) for t in ("dogs", "bare", "cats"))]}),
    lambda live: fan_out(live, json(PNG, tasks=["dogs", "bare", "cats"]), "?tasks=cats"),
    lambda live: fan_out(live, json(PNG, tasks=["dogs", "bare", "cats", "dogs"])),
]


@pytest.mark.parametrize("ask", NAMED)
def test_each_task_answers_as_alone_and_in_the_order_asked_for(
    live: Live, made: dict[str, Made], ask: Callable[[Live], FanoutAnswer]
) -> None:
    found = ask(live)
    assert [each.task for each in found.answers] == ["dogs", "bare", "cats"]
    for each in found.answers:
        wanted = probabilities(made[each.task].logits(IMAGE))
        (result,) = each.results
        assert each.sha256 == made[each.task].sha256
        for prediction in named(result):
            assert prediction.probability == pytest.approx(wanted[prediction.index], abs=1e-5)


def test_what_tasks_share_is_not_spent_twice(live: Live, made: dict[str, Made]) -> None:
    found = fan_out(live, raw(), "?tasks=cats&tasks=bare&top_k=1")
    for each in found.answers:
        (result,) = each.results
        alone = made[each.task].adapter.manifest.provenance.flops / 1e9
        assert result.gflops_spent + result.gflops_shared == pytest.approx(alone)
        assert result.trunk_share == pytest.approx(result.gflops_shared / alone, abs=1e-6)
        assert 0 < result.trunk_share < 0.5
    assert found.timings.compute_ms > 0


@pytest.mark.parametrize(("body", "query"), [(raw(), ""), (raw(), "?tasks=all"), (json(PNG, tasks="all"), "?tasks=x")])
def test_all_or_none_asks_every_task_that_can_be_served(live: Live, body: Body, query: str) -> None:
    if "=x" in query:
        assert live.client.post(f"/v1/predict{query}", **body).json()["code"] == "unknown_task"
        query = ""
    names = [each.task for each in fan_out(live, body, query).answers]
    assert names == sorted(names)
    assert {"cats", "dogs", "bare"} <= set(names)


def test_several_images_are_rows_of_every_task(live: Live, made: dict[str, Made]) -> None:
    pictures = [picture(seed) for seed in (1, 2, 1)]
    found = fan_out(live, form(*map(encode, pictures)), "?tasks=cats&tasks=dogs&output=logits")
    for each in found.answers:
        for result, image in zip(each.results, pictures, strict=True):
            np.testing.assert_allclose(np.array(result.logits), made[each.task].logits(image), atol=1e-4)


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [
        (raw(), "?tasks=nobody", 404),
        (json(PNG, tasks=["cats", "nobody"]), "", 404),
        (raw(), "?tasks=Cats", 422),
        (raw(), "?task=cats", 422),
        (json(PNG, tasks="cats"), "", 422),
        (json(PNG, tasks=[1]), "", 422),
        (json(PNG, tasks=["cats"] * 257), "", 422),
        (raw(), "?" + "&".join(["tasks=cats"] * 257), 422),
        (form(PNG, tasks="NO"), "", 422),
        (raw(b""), "?tasks=cats", 422),
        (raw(b"GIF89a"), "?tasks=cats", 415),
    ],
)
@pytest.mark.usefixtures("alive")
def test_an_impossible_question_is_refused(live: Live, body: Body, query: str, status: int) -> None:
    assert live.client.post(f"/v1/predict{query}", **body).status_code == status


def test_more_rows_than_can_ever_wait_are_refused(live: Live) -> None:
    small = encode(picture(1, size=(8, 8)))
    names = [f"row-{index}" for index in range(17)]
    data = make(31).data
    for name in names:
        assert put(live, name, data).status_code == 201
    assert live.client.post("/v1/predict", **json(*[small] * 16, tasks=names)).status_code == 413
    for name in names:
        live.client.delete(f"/v1/tasks/{name}")


@pytest.mark.parametrize("kind", ["logits", "features", "probabilities"])
@pytest.mark.parametrize("where", ["query", "json", "form"])
def test_the_kind_of_answer_is_chosen(live: Live, made: dict[str, Made], kind: str, where: str) -> None:
    bodies = {
        "query": (raw(), f"?output={kind}"),
        "json": (json(PNG, output=kind), ""),
        "form": (form(PNG, output=kind), ""),
    }
    response = predict(live, "cats", *bodies[where])
    (result,) = response.json()["results"]
    assert [each for each in ("predictions", "logits", "features") if each in result] == [
        {"probabilities": "predictions"}.get(kind, kind)
    ]
    if kind == "logits":
        np.testing.assert_allclose(result["logits"], made["cats"].logits(IMAGE), atol=1e-4)
    if kind == "features":
        adapter = made["cats"].adapter
        logits = adapter.head_weight @ np.array(result["features"]) + adapter.head_bias
        np.testing.assert_allclose(logits, made["cats"].logits(IMAGE), atol=1e-4)


def test_a_data_uri_is_an_image(live: Live) -> None:
    uri = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    response = live.client.post("/v1/tasks/cats/predict", json={"images": [uri]})
    assert answer(response).results[0].predictions == answer(predict(live, "cats", raw())).results[0].predictions
    assert live.client.post("/v1/tasks/cats/predict", json={"images": [uri[5:]]}).status_code == 422


def by(live: Live, path: str) -> httpx.Response:
    return live.client.post(f"/v1/tasks/{path}/predict", content=PNG)


def test_a_version_answers_whether_anything_points_at_it_or_not(live: Live, task: str) -> None:
    first, second = make(32), make(33, classes=6)
    put(live, task, first.data)
    put(live, task, second.data)
    for _ in range(2):
        assert answer(by(live, f"{task}/versions/1")).sha256 == first.sha256
        assert answer(by(live, f"{task}/versions/2")).sha256 == second.sha256
    assert answer(by(live, task)).version == 2
    assert by(live, f"{task}/versions/3").status_code == 404
    assert by(live, "nobody/versions/1").status_code == 404
    assert by(live, f"{task}/versions/0").status_code == 422
    assert live.client.delete(f"/v1/tasks/{task}/versions/1").status_code == 204
    assert by(live, f"{task}/versions/1").status_code == 404


def test_an_alias_answers_by_what_it_points_at(live: Live, task: str) -> None:
    put(live, task, make(34).data)
    put(live, task, make(35).data)
    assert live.client.put(f"/v1/tasks/{task}/aliases/canary", json={"version": 1}).status_code == 200
    assert answer(by(live, f"{task}/aliases/canary")).version == 1
    assert answer(by(live, f"{task}/aliases/live")).version == 2
    assert by(live, f"{task}/aliases/other").status_code == 404
    assert by(live, f"{task}/aliases/7").status_code == 422
