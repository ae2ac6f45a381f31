"""Answers that say what they are worth, over a real socket: known or not, labels over their threshold, counts."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import httpx2 as httpx
import numpy as np
import pytest

from adapters_store import pack
from service.prediction.answers import sigmoid, softmax
from tests.service.adapters import Made, make
from tests.service.asking import IMAGE, PNG, Body, answer, form, json, named, predict, put, raw
from tests.service.live import Live
from tests.service.scraping import labels_of, value

SOFT, FOREIGN, MANY = "answers-soft", "answers-foreign", "answers-many"
PLAIN = "cats"  # a file that says nothing of its answers


@pytest.fixture(scope="module")
def tasks(live: Live) -> Iterator[dict[str, Made]]:
    found = {
        SOFT: make(70, activation="softmax"),
        FOREIGN: make(71, activation="softmax", threshold=1e-3),
        MANY: make(72, classes=6, activation="sigmoid"),
    }
    for task, made in found.items():
        assert put(live, task, made.data).status_code == 201
    yield found
    for task in found:
        live.client.delete(f"/v1/tasks/{task}")


def test_an_image_is_known_or_not_and_the_score_says_how_far(live: Live, tasks: dict[str, Made]) -> None:
    for task, known in ((SOFT, True), (FOREIGN, False)):
        (result,) = answer(predict(live, task, raw())).results
        assert result.known is known
        assert result.unknown_score is not None
        assert (result.unknown_score <= 1) is known


def test_every_kind_of_answer_says_whether_the_image_is_known(live: Live, tasks: dict[str, Made]) -> None:
    scores = set()
    for output in ("probabilities", "logits", "features"):
        (result,) = answer(predict(live, FOREIGN, raw(), f"?output={output}")).results
        assert result.known is False
        assert (result.labels is None) is (output != "probabilities")
        scores.add(result.unknown_score)
    assert len(scores) == 1


@pytest.mark.parametrize("place", ["/v1/tasks/{}", "/v1/tasks/{}/versions/1"])
def test_a_task_and_its_versions_say_how_answers_are_read(live: Live, tasks: dict[str, Made], place: str) -> None:
    for task, activation in ((SOFT, "softmax"), (MANY, "sigmoid")):
        manifest = tasks[task].adapter.manifest
        assert manifest.answers is not None
        assert manifest.answers.known is not None
        found = live.client.get(place.format(task)).json()["answers"]
        assert (found["activation"], found["temperature"]) == (activation, 2.0)
        assert found["thresholds"] == list(manifest.answers.thresholds)
        share = manifest.answers.known.true_positive_rate
        assert (found["known_method"], found["known_share"]) == ("mahalanobis", share)
    assert live.client.get(place.format(PLAIN)).json()["answers"] is None
    assert "thresholds" not in live.client.get("/v1/tasks").text


def test_probabilities_are_those_of_the_temperature(live: Live, tasks: dict[str, Made]) -> None:
    for task, activation in ((SOFT, softmax), (MANY, sigmoid)):
        (result,) = answer(predict(live, task, raw(), "?top_k=9")).results
        wanted = activation(tasks[task].logits(IMAGE) / 2)
        assert [each.index for each in named(result)] == np.argsort(-wanted).tolist()
        for each in named(result):
            assert each.probability == pytest.approx(wanted[each.index], abs=1e-5)


def test_independent_labels_are_named_as_many_as_reach_their_threshold(live: Live, tasks: dict[str, Made]) -> None:
    (result,) = answer(predict(live, MANY, raw())).results
    wanted = sigmoid(tasks[MANY].logits(IMAGE) / 2)
    reached = [f"class {index}" for index in np.argsort(-wanted) if wanted[index] >= 0.25]
    assert 0 < len(reached) < len(wanted)
    assert result.labels == reached == [each.label for each in named(result)]


@pytest.mark.parametrize("body", [raw(), form(PNG), json(PNG)])
def test_the_threshold_of_a_request_overrides_those_of_the_file(live: Live, tasks: dict[str, Made], body: Body) -> None:
    for threshold, labels in ((0, 6), (1, 0)):
        (result,) = answer(predict(live, MANY, body, f"?threshold={threshold}")).results
        assert len(result.labels or ()) == labels == len(named(result))


def test_the_body_says_the_threshold_before_the_query_does(live: Live, tasks: dict[str, Made]) -> None:
    for body in (form(PNG, threshold="1"), json(PNG, threshold=1.0)):
        (result,) = answer(predict(live, SOFT, body, "?threshold=0")).results
        assert result.labels == []


@pytest.mark.parametrize("threshold", ["-0.1", "1.1", "nan", "x", ""])
def test_a_threshold_that_is_no_share_is_refused(live: Live, threshold: str) -> None:
    assert predict(live, PLAIN, raw(), f"?threshold={threshold}").status_code == 422


def test_a_file_that_says_nothing_has_answers_as_before(live: Live) -> None:
    found = predict(live, PLAIN, raw()).json()["results"][0]
    assert not found.keys() & {"known", "unknown_score", "labels"}
    asked = predict(live, PLAIN, raw(), "?threshold=0").json()["results"][0]
    assert asked["labels"] == [asked["predictions"][0]["label"]]


def test_many_tasks_say_it_each_for_itself(live: Live, tasks: dict[str, Made]) -> None:
    response = live.client.post(f"/v1/predict?tasks={SOFT}&tasks={FOREIGN}&tasks={PLAIN}", **raw())
    found = [each["results"][0].get("known") for each in response.json()["answers"]]
    assert found == [True, False, None]


def test_the_protocol_has_further_outputs_by_name(live: Live, tasks: dict[str, Made]) -> None:
    described = live.client.get(f"/v2/models/{MANY}").json()["outputs"]
    shapes = {each["name"]: (each["datatype"], each["shape"]) for each in described}
    assert (shapes["given"], shapes["known"]) == (("BOOL", [-1, 6]), ("BOOL", [-1]))
    assert shapes["unknown_score"] == ("FP32", [-1])
    outputs = {each["name"]: each["data"] for each in infer(live, MANY).json()["outputs"]}
    wanted = sigmoid(tasks[MANY].logits(IMAGE) / 2)
    np.testing.assert_allclose(outputs["probabilities"], wanted, atol=1e-5)
    assert outputs["given"] == (wanted >= 0.25).tolist()
    assert outputs["known"] == [True]
    assert outputs.keys() == shapes.keys()


def test_the_protocol_takes_a_threshold_and_outputs_by_name(live: Live, tasks: dict[str, Made]) -> None:
    asked = {"outputs": [{"name": "given"}, {"name": "known"}], "parameters": {"threshold": 0}}
    given, known = infer(live, FOREIGN, **asked).json()["outputs"]
    assert (sum(given["data"]), known["data"]) == (1, [False])
    assert infer(live, FOREIGN, parameters={"threshold": 2}).status_code == 400
    assert infer(live, FOREIGN, outputs=[{"name": "known", "parameters": {"classification": 1}}]).status_code == 400


def test_a_task_without_such_a_record_has_no_such_outputs(live: Live) -> None:
    names = [each["name"] for each in live.client.get(f"/v2/models/{PLAIN}").json()["outputs"]]
    assert names == ["logits", "probabilities", "features"]
    assert [each["name"] for each in infer(live, PLAIN).json()["outputs"]] == names
    for name in ("given", "known", "unknown_score"):
        assert infer(live, PLAIN, outputs=[{"name": name}]).status_code == 400
    threshold = infer(live, PLAIN, outputs=[{"name": "given"}], parameters={"threshold": 0}).json()
    assert sum(threshold["outputs"][0]["data"]) == 1


def infer(live: Live, task: str, **asked: object) -> httpx.Response:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64encode(PNG).decode()]}
    return live.client.post(f"/v2/models/{task}/infer", json={"inputs": [tensor], **asked})


def test_unknown_images_are_counted_by_task(live: Live, tasks: dict[str, Made]) -> None:
    def count(task: str, known: str) -> float:
        return value(live, "mimi_answers_total", task=task, known=known)

    before = count(FOREIGN, "false"), count(SOFT, "true")
    predict(live, FOREIGN, form(PNG, PNG))
    predict(live, SOFT, raw())
    predict(live, PLAIN, raw())
    assert (count(FOREIGN, "false"), count(SOFT, "true")) == (before[0] + 2, before[1] + 1)
    assert PLAIN not in {labels["task"] for labels in labels_of(live, "mimi_answers_total")}


def test_an_upload_whose_unknown_score_is_not_the_promised_one_is_refused(live: Live, tasks: dict[str, Made]) -> None:
    adapter = tasks[SOFT].adapter
    assert adapter.golden_score is not None
    wrong = pack(replace(adapter, golden_score=adapter.golden_score + np.float32(0.01)))
    refused = put(live, "answers-wrong", wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "golden_mismatch")
    checked = live.client.put(f"/v1/tasks/{SOFT}?dry_run=true", content=tasks[SOFT].data).json()
    assert checked["golden"]["score"] <= 1e-3
