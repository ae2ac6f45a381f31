"""Predictions over a real socket: requests and their answers."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from service.tasks.table import TaskVersion
from tests.service.adapters import Made, make, saved_flops
from tests.service.asking import IMAGE, PNG, Body, answer, form, json, named, predict, probabilities, put, raw
from tests.service.live import Live, encode, picture


@pytest.mark.parametrize("body", [raw(), form(PNG), json(PNG)])
@pytest.mark.parametrize("task", ["cats", "dogs", "bare"])
def test_an_answer_is_the_reference_forward_however_the_image_came(
    live: Live, made: dict[str, Made], task: str, body: Body
) -> None:
    found = answer(predict(live, task, body, "?top_k=9"))
    wanted = probabilities(made[task].logits(IMAGE))
    assert (found.task, found.version, found.sha256) == (task, 1, made[task].sha256)
    (result,) = found.results
    assert [p.index for p in named(result)] == np.argsort(-wanted).tolist()
    for prediction in named(result):
        assert prediction.label == f"class {prediction.index}"
        assert prediction.probability == pytest.approx(wanted[prediction.index], abs=1e-5)


@pytest.mark.parametrize("name", ["image", "images", "file"])
def test_a_form_part_without_a_file_name_is_an_image_by_its_name(live: Live, made: dict[str, Made], name: str) -> None:
    photo = encode(picture(9, size=(90, 60)))
    assert len(photo) > 1024
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    found = predict(live, "dogs", {"content": head + photo + b"\r\n--XX--\r\n", "headers": headers})
    (result,) = answer(found).results
    assert named(result)[0].index == int(made["dogs"].logits(picture(9, size=(90, 60))).argmax())


def test_flops_are_those_of_the_task_and_saved_against_its_initial_widths(live: Live, made: dict[str, Made]) -> None:
    (result,) = answer(predict(live, "cats", raw())).results
    assert result.gflops_spent == made["cats"].adapter.manifest.provenance.flops / 1e9
    assert result.gflops_saved == saved_flops(made["cats"]) / 1e9


@pytest.mark.parametrize("body", [form, json])
def test_several_images_are_answered_in_their_order(
    live: Live, made: dict[str, Made], body: Callable[..., Body]
) -> None:
    pictures = [picture(seed, size=(30 + seed, 60)) for seed in range(5)]
    found = answer(predict(live, "dogs", body(*map(encode, pictures))))
    best = [named(result)[0].index for result in found.results]
    assert best == [int(made["dogs"].logits(image).argmax()) for image in pictures]


@pytest.mark.parametrize(
    ("body", "query", "count"),
    [
        (raw(), "", 5),
        (raw(), "?top_k=1", 1),
        (raw(), "?top_k=10000", 7),
        (form(PNG, top_k="2"), "", 2),
        (form(PNG, top_k="2"), "?top_k=3", 2),
        (form(PNG), "?top_k=3", 3),
        (json(PNG, top_k=4), "", 4),
    ],
)
def test_top_k_is_five_unless_said_and_never_more_than_there_are(
    live: Live, body: Body, query: str, count: int
) -> None:
    (result,) = answer(predict(live, "dogs", body, query)).results
    assert len(named(result)) == count


@pytest.mark.parametrize(
    "query",
    [
        "?top_k=0",
        "?top_k=-1",
        "?top_k=x",
        "?top_k=1e3",
        "?topk=2",
        "?top_k=1&x=1",
        "?top_k=",
        "?top_k=3&top_k=4",
        "?top_k=3&top_k=3",
    ],
)
def test_an_impossible_unknown_or_repeated_parameter_is_refused(live: Live, query: str) -> None:
    assert predict(live, "dogs", raw(), query).status_code == 422


def test_the_image_that_is_refused_is_named_by_its_place(live: Live) -> None:
    response = predict(live, "cats", form(PNG, b"not an image", PNG))
    assert response.status_code == 415
    assert "image 2 of 3" in response.json()["detail"]


def test_too_many_images_are_refused(live: Live) -> None:
    small = encode(picture(1, size=(8, 8)))
    assert len(answer(predict(live, "cats", form(*[small] * 16))).results) == 16
    assert predict(live, "cats", form(*[small] * 17)).status_code == 422
    assert predict(live, "cats", json(*[small] * 17)).status_code == 422


@pytest.mark.parametrize("path", ["/v1/tasks/{task}/predict", "/v1/predict?tasks={task}", "/v2/models/{task}/infer"])
def test_a_split_alias_is_drawn_once_for_a_request(
    live: Live, task: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second draw would count an error against a version that did not answer."""
    for made in (make(71), make(72)):
        put(live, task, made.data)
    live.client.put(f"/v1/tasks/{task}/aliases/live", json={"weights": {"1": 1, "2": 1}})
    draws: list[int] = []

    def alternate(population: Sequence[TaskVersion], weights: object) -> list[TaskVersion]:
        draws.append(1)
        return [population[len(draws) % 2]]

    monkeypatch.setattr("service.tasks.registry.random.choices", alternate)
    headers = {"Inference-Header-Content-Length": "0"} if path.startswith("/v2") else {}
    assert live.client.post(path.format(task=task), content=PNG, headers=headers).status_code == 200
    assert len(draws) == 1
