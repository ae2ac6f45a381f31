"""The Open Inference Protocol with a public client, tritonclient, over a real socket."""

import base64
import json
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from tritonclient.http import (  # type: ignore[import-untyped]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from tests.service.adapters import Made, bundled_backbone, make
from tests.service.asking import IMAGE, PNG, predict, probabilities, put, raw
from tests.service.live import PATIENCE, Live, encode, picture


@pytest.fixture
def client(live: Live) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{live.port}", network_timeout=PATIENCE) as client:
        yield client


def encoded(*images: bytes) -> InferInput:
    tensor = InferInput("image", [len(images)], "BYTES")
    return tensor.set_data_from_numpy(np.array(images, dtype=np.object_))


def logits_of(result: InferResult) -> np.ndarray:
    found: np.ndarray = result.as_numpy("logits")
    return found


def test_the_server_is_alive_and_ready_and_says_what_it_is(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    found = client.get_server_metadata()
    assert found["name"] == "mimi-serving"
    assert {"binary_tensor_data", "classification", "model_repository"} <= set(found["extensions"])
    assert found["parameters"] == {"precision": "fp32"}


def test_a_task_is_a_model_with_all_its_inputs_its_labels_and_logits_first(client: InferenceServerClient) -> None:
    for version in ("", "1"):
        assert client.is_model_ready("dogs", version)
        found = client.get_model_metadata("dogs", version)
        assert found["inputs"] == [
            {"name": "image", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 64, 64]},
        ]
        assert found["labels"] == [f"class {index}" for index in range(7)]
        assert found["outputs"][0] == {"name": "logits", "datatype": "FP32", "shape": [-1, 7]}
        assert found["versions"] == ["1"]
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("dogs", "9")


@pytest.mark.parametrize("version", ["", "1"])
def test_the_configuration_says_what_tools_ask_for(
    client: InferenceServerClient, made: dict[str, Made], version: str
) -> None:
    found = client.get_model_config("dogs", version)
    assert (found["name"], found["platform"], found["max_batch_size"]) == ("dogs", "mimi_safetensors", 16)
    assert found["input"] == [
        {"name": "image", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
        {"name": "pixels", "data_type": "TYPE_FP32", "dims": [3, 64, 64], "optional": True},
    ]
    assert {"name": "logits", "data_type": "TYPE_FP32", "dims": [7]} in found["output"]
    assert [each["name"] for each in found["output"]] == [
        each["name"] for each in client.get_model_metadata("dogs", version)["outputs"]
    ]
    assert json.loads(found["parameters"]["labels"]["string_value"]) == [f"class {index}" for index in range(7)]
    assert found["parameters"]["sha256"]["string_value"] == made["dogs"].sha256
    with pytest.raises(InferenceServerException):
        client.get_model_config("dogs", "9")


def test_statistics_are_counted_as_perf_analyzer_reads_them(
    live: Live, client: InferenceServerClient, task: str
) -> None:
    """It looks before and after a run, and wants every stage counted for each request."""
    put(live, task, make(1045).data)
    (before,) = client.get_inference_statistics(task)["model_stats"]
    assert (before["version"], before["inference_count"], before["last_inference"]) == ("1", 0, 0)
    for _ in range(3):
        client.infer(task, [encoded(PNG, PNG)])
    with pytest.raises(InferenceServerException):
        client.infer(task, [encoded(b"no image")])
    assert predict(live, task, raw()).status_code == 200  # asked by other routes, it is the same version
    (after,) = client.get_inference_statistics(task, "1")["model_stats"]
    assert (after["inference_count"], after["execution_count"]) == (7, 4)
    stats = after["inference_stats"]
    assert {name: stats[name]["count"] for name in stats} == {
        "success": 4, "fail": 1, "queue": 4, "compute_input": 4, "compute_infer": 4, "compute_output": 4,
        "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    stages = sum(stats[name]["ns"] for name in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert 0 < stages <= stats["success"]["ns"] < 4 * PATIENCE * 1e9
    assert all(stats[name]["ns"] > 0 for name in ("compute_input", "compute_infer", "compute_output"))
    assert abs(after["last_inference"] / 1000 - time.time()) < PATIENCE


def test_statistics_name_each_version_that_was_asked_and_go_with_it(
    live: Live, client: InferenceServerClient, task: str
) -> None:
    for seed in (1046, 1047):
        put(live, task, make(seed).data)
    assert [each["version"] for each in client.get_inference_statistics(task)["model_stats"]] == ["2"]
    client.infer(task, [encoded(PNG)], model_version="1")
    assert [each["version"] for each in client.get_inference_statistics(task)["model_stats"]] == ["1", "2"]
    live.client.delete(f"/v1/tasks/{task}/versions/1")
    assert [each["version"] for each in client.get_inference_statistics(task)["model_stats"]] == ["2"]
    live.client.delete(f"/v1/tasks/{task}")
    put(live, task, make(1046).data)
    (anew,) = client.get_inference_statistics(task)["model_stats"]
    assert (anew["version"], anew["inference_count"]) == ("3", 0)
    for name, version in (("nobody", ""), (task, "9")):
        with pytest.raises(InferenceServerException):
            client.get_inference_statistics(name, version)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_requests_may_be_compressed(
    client: InferenceServerClient, made: dict[str, Made], coding: str, binary: bool
) -> None:
    ready = bundled_backbone().preprocessing.normalize(torch.tensor(_pixels(IMAGE)[None])).numpy()
    tensor = InferInput("pixels", list(ready.shape), "FP32").set_data_from_numpy(ready, binary_data=binary)
    result = client.infer("cats", [tensor], request_compression_algorithm=coding, response_compression_algorithm=coding)
    np.testing.assert_allclose(logits_of(result)[0], made["cats"].logits(IMAGE), atol=1e-3)


@pytest.mark.parametrize("version", ["", "1"])
@pytest.mark.parametrize("binary", [True, False])
def test_encoded_images_are_answered_as_the_reference_does(
    client: InferenceServerClient, made: dict[str, Made], version: str, binary: bool
) -> None:
    pictures = [picture(seed) for seed in range(3)]
    outputs = [InferRequestedOutput(name, binary_data=binary) for name in ("logits", "probabilities", "features")]
    tensor = encoded(*map(encode, pictures))
    result = client.infer("cats", [tensor], model_version=version, outputs=outputs, request_id="mine")
    wanted = np.stack([made["cats"].logits(image) for image in pictures])
    np.testing.assert_allclose(logits_of(result), wanted, atol=1e-4)
    np.testing.assert_allclose(result.as_numpy("probabilities"), [probabilities(row) for row in wanted], atol=1e-5)
    assert result.as_numpy("features").shape == (3, bundled_backbone().feature_dim)
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", "cats", "1")
    assert response["parameters"]["sha256"] == made["cats"].sha256
    assert response["parameters"]["gflops_spent"] > 0


def test_without_outputs_there_are_all_of_them(client: InferenceServerClient, made: dict[str, Made]) -> None:
    result = client.infer("dogs", [encoded(PNG)])
    assert [each["name"] for each in result.get_response()["outputs"]] == ["logits", "probabilities", "features"]
    np.testing.assert_allclose(logits_of(result)[0], made["dogs"].logits(IMAGE), atol=1e-4)


@pytest.mark.parametrize("binary", [True, False])
def test_decoded_images_and_normalised_ones_give_the_same(
    client: InferenceServerClient, made: dict[str, Made], binary: bool
) -> None:
    images = [IMAGE, picture(6), picture(7)]
    decoded = InferInput("image", [3, *IMAGE.shape], "UINT8")
    decoded.set_data_from_numpy(np.stack(images), binary_data=binary)
    raw = torch.from_numpy(np.stack([_pixels(image) for image in images]))
    ready = bundled_backbone().preprocessing.normalize(raw).numpy()
    pixels = InferInput("pixels", list(ready.shape), "FP32").set_data_from_numpy(ready, binary_data=binary)
    for tensor in (decoded, pixels):
        found = logits_of(client.infer("cats", [tensor]))
        np.testing.assert_allclose(found, [made["cats"].logits(image) for image in images], atol=1e-4)


def _pixels(image: np.ndarray) -> np.ndarray:
    return bundled_backbone().preprocessing.pixels(Image.fromarray(image))


@pytest.mark.parametrize("binary", [True, False])
def test_classification_names_the_best_labels(
    client: InferenceServerClient, made: dict[str, Made], binary: bool
) -> None:
    outputs = [InferRequestedOutput(name, binary, class_count=3) for name in ("probabilities", "features")]
    result = client.infer("dogs", [encoded(PNG, PNG)], outputs=outputs)
    wanted = probabilities(made["dogs"].logits(IMAGE))
    best = np.argsort(-wanted)[:3]
    for row in result.as_numpy("probabilities"):
        values, indices, labels = zip(*(_text(each).split(":") for each in row), strict=True)
        assert [int(index) for index in indices] == best.tolist()
        assert labels == tuple(f"class {index}" for index in best)
        np.testing.assert_allclose([float(value) for value in values], wanted[best], atol=1e-5)
    assert [len(_text(each).split(":")) for each in result.as_numpy("features")[0]] == [2, 2, 2]


def _text(element: bytes | str) -> str:
    return element.decode() if isinstance(element, bytes) else element


def test_a_request_in_json_alone_is_answered(client: InferenceServerClient, made: dict[str, Made]) -> None:
    tensor = InferInput("image", [1], "BYTES")
    text = np.array([base64.b64encode(PNG)], dtype=np.object_)
    outputs = [InferRequestedOutput("logits", binary_data=False)]
    result = client.infer("cats", [tensor.set_data_from_numpy(text, binary_data=False)], outputs=outputs)
    np.testing.assert_allclose(logits_of(result)[0], made["cats"].logits(IMAGE), atol=1e-4)


def test_priority_and_patience_are_taken(client: InferenceServerClient) -> None:
    assert logits_of(client.infer("cats", [encoded(PNG)], priority=1, timeout=60_000_000)).shape == (1, 3)
    with pytest.raises(InferenceServerException, match="deadline") as caught:
        client.infer("cats", [encoded(PNG)], timeout=1)
    assert caught.value.status() == "504"


def test_errors_come_as_the_client_expects_them(client: InferenceServerClient) -> None:
    for model, tensor, status in [
        ("nobody", encoded(PNG), "404"),
        ("Cats", encoded(PNG), "422"),
        ("cats", encoded(b"no image"), "415"),
        ("cats", InferInput("picture", [1], "BYTES").set_data_from_numpy(np.array([PNG], np.object_)), "400"),
    ]:
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, [tensor])
        assert caught.value.status() == status
        assert caught.value.message()


def test_a_task_is_unloaded_here_until_it_is_loaded_again(live: Live, client: InferenceServerClient, task: str) -> None:
    put(live, task, make(61).data)  # no other test's bytes: two tasks with the same share one place in memory
    before = live.service.engine.usage().tasks
    client.unload_model(task)
    assert live.service.engine.usage().tasks == before - 1
    assert not client.is_model_ready(task)
    assert not client.is_model_ready(task, "1")
    assert {"name": task, "state": "UNAVAILABLE", "reason": "unloaded on this server"} in _index(client, task)
    assert live.client.post(f"/v1/tasks/{task}/predict", content=PNG).status_code == 409
    put(live, task, make(62).data)  # what is published meanwhile changes nothing
    assert not client.is_model_ready(task)
    client.load_model(task)
    assert client.is_model_ready(task)
    assert _index(client, task) == [{"name": task, "version": "2", "state": "READY", "reason": ""}]


def _index(client: InferenceServerClient, task: str) -> list[dict[str, str]]:
    return [each for each in client.get_model_repository_index() if each["name"] == task]


def test_a_deleted_task_takes_its_unloading_with_it(live: Live, client: InferenceServerClient, task: str) -> None:
    put(live, task, make(51).data)
    client.unload_model(task)
    assert live.client.delete(f"/v1/tasks/{task}").status_code == 204
    put(live, task, make(51).data)
    assert client.is_model_ready(task)


def test_what_is_not_there_is_neither_loaded_nor_unloaded(client: InferenceServerClient) -> None:
    for act in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            act("nobody")
        assert caught.value.status() == "404"
