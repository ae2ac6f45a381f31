"""The protocol over gRPC as its public client speaks it: the same answers as over HTTP."""

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.grpc import service_pb2 as pb
from tritonclient.http import InferenceServerClient as HttpClient  # type: ignore[import-untyped]
from tritonclient.http import InferInput as HttpInput
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from tests.service.adapters import Made, bundled_backbone, make
from tests.service.asking import IMAGE, PNG, put
from tests.service.grpc.speaking import ask, channel, encoded, message, refusal, triton
from tests.service.live import PATIENCE, Live, encode, picture


@pytest.fixture
def client(spoken: Live) -> Iterator[InferenceServerClient]:
    with triton(spoken) as client:
        yield client


@pytest.fixture
def http(spoken: Live) -> Iterator[HttpClient]:
    with HttpClient(f"127.0.0.1:{spoken.port}", network_timeout=PATIENCE) as client:
        yield client


def test_the_server_says_what_it_is_as_over_http(client: InferenceServerClient, http: HttpClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    wanted = http.get_server_metadata()
    del wanted["parameters"]  # for which gRPC's message has no place
    assert client.get_server_metadata(as_json=True) == wanted


@pytest.mark.parametrize("version", ["", "1"])
def test_a_task_is_the_same_model(client: InferenceServerClient, http: HttpClient, version: str) -> None:
    assert client.is_model_ready("dogs", version)
    found, wanted = client.get_model_metadata("dogs", version), http.get_model_metadata("dogs", version)
    assert (found.name, list(found.versions), found.platform) == ("dogs", wanted["versions"], wanted["platform"])
    for ours, theirs in [(found.inputs, wanted["inputs"]), (found.outputs, wanted["outputs"])]:
        assert [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in ours] == theirs


@pytest.mark.parametrize("version", ["", "1"])
def test_encoded_images_have_the_same_answers(
    client: InferenceServerClient, http: HttpClient, made: dict[str, Made], version: str
) -> None:
    pictures = [picture(seed) for seed in range(3)]
    files = [encode(each) for each in pictures]
    result = client.infer("cats", [encoded(*files)], model_version=version, request_id="mine")
    tensor = HttpInput("image", [3], "BYTES").set_data_from_numpy(np.array(files, dtype=np.object_))
    wanted = http.infer("cats", [tensor], model_version=version)
    for name in ("logits", "probabilities", "features"):
        np.testing.assert_allclose(result.as_numpy(name), wanted.as_numpy(name), atol=1e-5)
    np.testing.assert_allclose(result.as_numpy("logits"), [made["cats"].logits(each) for each in pictures], atol=1e-4)
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("mine", "cats", "1")
    assert [each.name for each in response.outputs] == ["logits", "probabilities", "features"]
    assert response.parameters["sha256"].string_param == made["cats"].sha256
    assert set(response.parameters) == set(wanted.get_response()["parameters"])
    assert response.parameters["gflops_spent"].double_param > 0


def test_decoded_images_and_normalised_ones_give_the_same(client: InferenceServerClient, made: dict[str, Made]) -> None:
    decoded = InferInput("image", [1, *IMAGE.shape], "UINT8").set_data_from_numpy(IMAGE[None])
    raw = torch.from_numpy(np.stack([bundled_backbone().preprocessing.pixels(Image.fromarray(IMAGE))]))
    ready = bundled_backbone().preprocessing.normalize(raw).numpy()
    pixels = InferInput("pixels", list(ready.shape), "FP32").set_data_from_numpy(ready)
    for tensor in (decoded, pixels):
        found = client.infer("cats", [tensor]).as_numpy("logits")
        np.testing.assert_allclose(found, [made["cats"].logits(IMAGE)], atol=1e-4)


def test_typed_contents_are_read_as_raw_ones(spoken: Live, made: dict[str, Made]) -> None:
    size = bundled_backbone().preprocessing.size
    plain = np.zeros((1, 3, *size), np.float32)
    requests = [pb.ModelInferRequest(model_name="cats") for _ in range(3)]
    requests[0].inputs.add(name="image", datatype="BYTES", shape=[1]).contents.bytes_contents.append(PNG)
    tensor = requests[1].inputs.add(name="image", datatype="UINT8", shape=[1, *IMAGE.shape])
    tensor.contents.uint_contents.extend(IMAGE.reshape(-1).tolist())
    tensor = requests[2].inputs.add(name="pixels", datatype="FP32", shape=plain.shape)
    tensor.contents.fp32_contents.extend(plain.reshape(-1).tolist())
    with channel(spoken) as opened:
        found = [pb.ModelInferResponse.FromString(ask(opened, each.SerializeToString())) for each in requests]
    logits = [np.frombuffer(each.raw_output_contents[0], "<f4") for each in found]
    for row in logits[:2]:
        np.testing.assert_allclose(row, made["cats"].logits(IMAGE), atol=1e-4)
    assert logits[2].shape == (3,)


def test_named_outputs_come_in_their_order_and_as_labels(client: InferenceServerClient) -> None:
    outputs = [InferRequestedOutput("features"), InferRequestedOutput("probabilities", class_count=2)]
    result = client.infer("dogs", [encoded(PNG)], outputs=outputs)
    assert [each.name for each in result.get_response().outputs] == ["features", "probabilities"]
    labels = [each.decode().split(":")[2] for each in result.as_numpy("probabilities")[0]]
    assert len(labels) == 2
    assert all(label.startswith("class ") for label in labels)


def test_priority_and_patience_are_taken(client: InferenceServerClient) -> None:
    assert client.infer("cats", [encoded(PNG)], priority=1, timeout=60_000_000).as_numpy("logits").shape == (1, 3)
    with pytest.raises(InferenceServerException, match="deadline") as caught:
        client.infer("cats", [encoded(PNG)], timeout=1)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    ("model", "version", "image", "code", "problem"),
    [
        ("nobody", "", PNG, "NOT_FOUND", "unknown_task"),
        ("cats", "9", PNG, "NOT_FOUND", "unknown_version"),
        ("cats", "x", PNG, "INVALID_ARGUMENT", "invalid_inference"),
        ("cats", "", b"no image", "INVALID_ARGUMENT", "unsupported_format"),
    ],
)
def test_a_refusal_has_grpcs_code_and_the_problems(
    spoken: Live, model: str, version: str, image: bytes, code: str, problem: str
) -> None:
    request = pb.ModelInferRequest.FromString(message(model, image))
    request.model_version = version
    with channel(spoken) as opened:
        found = refusal(opened, request.SerializeToString())
    assert (found[0].name, found[1]) == (code, problem)


def test_a_task_is_unloaded_and_loaded_for_both(spoken: Live, client: InferenceServerClient, http: HttpClient) -> None:
    task = f"task-{uuid.uuid4().hex}"
    put(spoken, task, make(63).data)
    client.unload_model(task)
    assert not client.is_model_ready(task)
    assert not http.is_model_ready(task)
    states = {each.name: each.state for each in client.get_model_repository_index().models}
    assert (states[task], states["cats"]) == ("UNAVAILABLE", "READY")
    client.load_model(task)
    assert http.is_model_ready(task)
    with pytest.raises(InferenceServerException) as caught:
        client.load_model(task, config="{}")
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("header", [{"x-canary-key": "customer-17"}, {"x-canary-by": "image"}])
def test_a_key_always_gets_the_same_version_of_a_canary_on_both_ports(
    spoken: Live, client: InferenceServerClient, header: dict[str, str]
) -> None:
    task = f"task-{uuid.uuid4().hex}"
    for seed in (64, 65):
        put(spoken, task, make(seed).data)
    weights = {"weights": {"1": 0.5, "2": 0.5}}
    assert spoken.client.put(f"/v1/tasks/{task}/aliases/live", json=weights).status_code == 200
    found = [client.infer(task, [encoded(PNG)], headers=header).get_response().model_version for _ in range(8)]
    over_http = spoken.client.post(f"/v1/tasks/{task}/predict", content=PNG, headers=header).json()["version"]
    assert set(found) == {str(over_http)}


def test_calls_are_counted_with_the_requests_of_http(spoken: Live, client: InferenceServerClient) -> None:
    def counted(code: int) -> float:
        line = f'mimi_requests_total{{code="{code}",task="bare",version="1"}} '
        found = [each for each in spoken.client.get("/metrics").text.splitlines() if each.startswith(line)]
        return float(found[0].split()[-1]) if found else 0.0

    before = counted(200), counted(415)
    client.infer("bare", [encoded(PNG)])
    with pytest.raises(InferenceServerException):
        client.infer("bare", [encoded(b"no image")])
    assert (counted(200), counted(415)) == (before[0] + 1, before[1] + 1)


def test_a_call_is_named_as_the_client_wants(spoken: Live) -> None:
    with channel(spoken) as opened:
        call = opened.unary_unary("/inference.GRPCInferenceService/ServerLive")
        _, done = call.with_call(b"", metadata=[("x-request-id", "shop-42")], timeout=PATIENCE)
        _, other = call.with_call(b"", timeout=PATIENCE)
    assert dict(done.trailing_metadata())["x-request-id"] == "shop-42"
    assert len(dict(other.trailing_metadata())["x-request-id"]) == 32


def test_health_is_checked_and_watched_and_services_describe_themselves(spoken: Live) -> None:
    with channel(spoken) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        for name in ("", "inference.GRPCInferenceService"):
            asked = health_pb2.HealthCheckRequest(service=name)
            assert stub.Check(asked, timeout=PATIENCE).status == health_pb2.HealthCheckResponse.SERVING
            watch = stub.Watch(asked, timeout=PATIENCE)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()
        unknown = health_pb2.HealthCheckRequest(service="x").SerializeToString()
        code, _ = refusal(opened, unknown, method="/grpc.health.v1.Health/Check")
        assert code.name == "NOT_FOUND"
        names = set(ProtoReflectionDescriptorDatabase(opened).get_services())
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
