"""Open Inference Protocol requests that its clients do not send: raw bodies, bad framing; error bodies, limits."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.adapters import Made
from tests.service.asking import IMAGE, PNG, Body
from tests.service.gate import gated
from tests.service.live import Live
from tests.service.wire import ask, read, request, send

ENCODED = base64.b64encode(PNG).decode()
TENSOR: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [ENCODED]}
LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/cats/infer"


def test_health_says_so_in_the_words_of_the_protocol(live: Live) -> None:
    assert live.client.get("/v2/health/live").json() == {"live": True}
    assert live.client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    assert live.client.get("/v2/models/cats/ready").json() == {"name": "cats", "ready": True}


def test_a_body_without_json_is_one_image(live: Live, made: dict[str, Made]) -> None:
    response = live.client.post(INFER, content=PNG, headers={LENGTH: "0"})
    head = int(response.headers[LENGTH])
    described = json.loads(response.content[:head])["outputs"]
    assert [each["parameters"]["binary_data_size"] for each in described] == [12, 12, 4 * described[2]["shape"][1]]
    logits = np.frombuffer(response.content[head : head + 12], np.float32)
    np.testing.assert_allclose(logits, made["cats"].logits(IMAGE), atol=1e-4)


def test_json_answers_are_json(live: Live, made: dict[str, Made]) -> None:
    response = live.client.post(INFER, json={"inputs": [TENSOR], "outputs": [{"name": "logits"}], "id": "é"})
    assert response.headers["content-type"] == "application/json"
    assert LENGTH not in response.headers
    found = response.json()
    assert found["id"] == "é"
    (output,) = found["outputs"]
    assert (output["datatype"], output["shape"]) == ("FP32", [1, 3])
    np.testing.assert_allclose(output["data"], made["cats"].logits(IMAGE), atol=1e-4)


def test_an_answer_has_an_id_only_where_the_request_has(live: Live) -> None:
    response = live.client.post(INFER, json={"inputs": [TENSOR]}, headers={"X-Request-Id": "header"})
    assert "id" not in response.json()
    assert response.headers["x-request-id"] == "header"


REFUSED: list[tuple[str, str, Body, int]] = [
    ("GET", "/v2/nothing", {}, 404),
    ("GET", "/v2/models/nobody", {}, 404),
    ("GET", "/v2/models/nobody/ready", {}, 404),
    ("GET", "/v2/models/cats/versions/9", {}, 404),
    ("GET", "/v2/models/cats/versions/x", {}, 422),
    ("PUT", INFER, {}, 405),
    ("POST", INFER, {"content": b""}, 422),
    ("POST", INFER, {"content": b"{"}, 400),
    ("POST", INFER, {"json": {"inputs": []}}, 400),
    ("POST", INFER, {"json": {"inputs": [{**TENSOR, "shape": [2]}]}}, 400),
    ("POST", INFER, {"json": {"inputs": [{**TENSOR, "shape": [17], "data": [ENCODED] * 17}]}}, 400),
    ("POST", INFER, {"content": PNG, "headers": {LENGTH: "9999"}}, 400),
    ("POST", INFER, {"content": b"GIF89a", "headers": {LENGTH: "0"}}, 415),
    ("POST", INFER, {"content": b"x", "headers": {"Content-Encoding": "br"}}, 415),
    ("POST", "/v2/models/%2e%2e/infer", {"json": {"inputs": [TENSOR]}}, 422),
    ("POST", "/v2/repository/index", {"json": {"ready": 1}}, 422),
    ("POST", "/v2/repository/index", {"content": b"["}, 400),
    ("POST", "/v2/repository/models/cats/load", {"json": {"parameters": {"config": "{}"}}}, 400),
    ("POST", "/v2/repository/models/cats/unload", {"json": {"force": True}}, 422),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
@pytest.mark.usefixtures("alive")
def test_every_error_is_what_the_protocol_says(live: Live, method: str, path: str, body: Body, status: int) -> None:
    response = live.client.request(method, path, **body)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    found = response.json()
    assert list(found) == ["error"]
    assert found["error"]


def test_an_error_before_any_route_is_one_of_the_protocol_as_well(tight: Live) -> None:
    reply = ask(tight, request("POST", INFER, "Content-Length: 9999999"))
    assert reply.status == 413
    assert list(json.loads(reply.body)) == ["error"]


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: x",),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Transfer-Encoding: gzip",),
        ("no header at all",),
        ("X-Large: " + "x" * 100_000,),
    ],
)
def test_a_request_that_cannot_be_parsed_is_refused_as_the_protocol_says(tight: Live, headers: tuple[str, ...]) -> None:
    reply = ask(tight, request("POST", INFER, *headers))
    assert reply.status in (400, 431)
    assert reply.headers["content-type"] == "application/json"
    assert list(json.loads(reply.body)) == ["error"]


def test_the_form_of_an_error_follows_the_request_that_it_is_about(tight: Live) -> None:
    junk = request("POST", INFER, "Content-Length: x")
    with tight.connect() as connection:
        send(connection, request("GET", "/v2/health/live") + request("POST", "/v1/predict", "Content-Length: x"))
        assert read(connection).status == 200
        assert read(connection).code == "malformed_request"
    with tight.connect() as connection:
        send(connection, request("GET", "/health/live"))
        assert read(connection).status == 200
        send(connection, junk[:9])
        send(connection, junk[9:])
        assert list(json.loads(read(connection).body)) == ["error"]


def test_an_image_too_large_is_refused_in_every_form(tight: Live) -> None:
    large = b"\x89PNG\r\n\x1a\n" + b"\0" * 20_000
    text = base64.b64encode(large).decode()
    framed = len(large).to_bytes(4, "little") + large
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(framed)}}]}).encode()
    bodies: list[Body] = [
        {"content": large, "headers": {LENGTH: "0"}},
        {"json": {"inputs": [{**tensor, "data": [text]}]}},
        {"content": head + framed, "headers": {LENGTH: str(len(head))}},
    ]
    for body in bodies:
        assert tight.client.post(INFER, **body).status_code == 413


def test_decoded_images_have_limits_as_well(live: Live) -> None:
    for shape, status in [((1, 4, 4, 3), 422), ((1, 8, 200, 3), 422), ((1, 8, 9000, 3), 413), ((17, 8, 8, 3), 400)]:
        data = bytes(int(np.prod(shape)))
        tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": len(data)}}
        head = json.dumps({"inputs": [tensor]}).encode()
        response = live.client.post(INFER, content=head + data, headers={LENGTH: str(len(head))})
        assert response.status_code == status, response.text


def test_impatience_ends_in_the_queue(live: Live) -> None:
    with gated(live):  # nothing is computed
        response = live.client.post(INFER, json={"inputs": [TENSOR], "parameters": {"timeout": 50_000}})
    assert response.status_code == 504
    assert "deadline" in response.json()["error"]


def test_the_index_lists_only_what_is_ready_if_asked(live: Live) -> None:
    found = live.client.post("/v2/repository/index", json={"ready": True}).json()
    assert {"name": "cats", "version": "1", "state": "READY", "reason": ""} in found
    assert all(each["state"] == "READY" for each in found)
    assert {each["name"] for each in found} <= {
        each["name"] for each in live.client.post("/v2/repository/index").json()
    }


def test_a_server_that_stops_is_not_ready(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.service.readiness, "_stopping", True)
    assert live.client.get("/v2/health/live").json() == {"live": True}
    for path, body in [
        ("/v2/health/ready", {"live": True, "ready": False}),
        ("/v2/models/cats/ready", {"name": "cats", "ready": False}),
    ]:
        response = live.client.get(path)
        assert (response.status_code, response.json()) == (503, body)


PARTS = st.sampled_from(
    [b"{", b"}", b'"inputs":', b"[", b"]", b",", json.dumps(TENSOR).encode(), b'{"name":"image",', b'"shape":[1],',
     b'"datatype":"BYTES",', b'"datatype":"UINT8",', b'"data":', b'"parameters":{"binary_data_size":4}', b"\0\0\0\0",
     b'"outputs":[{"name":"logits"}]', b'"parameters":{"timeout":1}', b"1e999", b"-0", b'"\\ud800"', PNG]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, max_size=12), length=st.none() | st.integers(0, 400).map(str))
@pytest.mark.usefixtures("alive")
def test_any_body_is_answered_or_refused(live: Live, parts: list[bytes], length: str | None) -> None:
    response = live.client.post(INFER, content=b"".join(parts), headers={} if length is None else {LENGTH: length})
    assert response.status_code < 500 or response.status_code == 504
    assert response.status_code == 200 or list(response.json()) == ["error"]
