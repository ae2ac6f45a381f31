"""Label Studio's ML-backend protocol over two real sockets: a backend in front of a server that takes corrections."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn

from adapters_store.answers import SIGMOID, SOFTMAX
from mimi.label_studio import MOST_TASKS, Bridge, LabelStudioError, application, control_of
from service.client import AsyncClient, RetryPolicy
from service.process.server import listen
from service.settings import Settings
from tests.service.adapters import make
from tests.service.live import PATIENCE, Live, encode, picture, serving

TASKS = {
    "cats": make(1, activation=SOFTMAX),
    "many": make(2, classes=6, activation=SIGMOID),
    "foreign": make(3, activation=SOFTMAX, threshold=1e-3),
}
IMAGE = encode(picture(5))
INLINE = "data:image/png;base64," + base64.b64encode(IMAGE).decode()
TOKEN, PASSWORD = "token-of-label-studio", "password-0123456789"
CHOICES = "".join(f'<Choice value="class {index}"/>' for index in range(6))
CONFIG = f'<View><Image name="img" value="$picture"/><Choices name="kind" toName="img">{CHOICES}</Choices></View>'


class Studio(BaseHTTPRequestHandler):
    """Label Studio's place of uploaded images: it wants its token."""

    def do_GET(self) -> None:  # the name that http.server calls
        """The image, or why not."""
        allowed = self.headers.get("Authorization") == f"Token {TOKEN}" and self.path == "/data/upload/1/five.png"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(IMAGE if allowed else b"")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def studio() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Studio)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("studio")
    values: dict[str, Any] = {"feedback": folder / "feedback.db", "feedback_tasks": "*", "request_seconds": PATIENCE}
    with serving(Settings(store=str(folder / "store.db"), **values), TASKS) as server:
        yield server


@contextmanager
def backend(live: Live, task: str, **changes: Any) -> Iterator[httpx.Client]:  # noqa: ANN401 - the fields of the bridge
    """The backend on a socket of its own, and what Label Studio sends through."""
    made = [AsyncClient(f"http://127.0.0.1:{live.port}", policy=RetryPolicy(seconds=PATIENCE)) for _ in range(2)]
    app = application(Bridge(client=made[0], correcting=made[1], task=task, **changes))
    server, listener = uvicorn.Server(uvicorn.Config(app, log_level="warning")), listen("127.0.0.1", 0)
    listener.listen()  # or who connects before the thread has come so far is refused
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()


def asked(client: httpx.Client, *pictures: str, config: str = CONFIG) -> list[dict[str, Any]]:
    tasks = [{"id": index, "data": {"picture": each}} for index, each in enumerate(pictures)]
    body = {"tasks": tasks, "project": "1.1700000000", "label_config": config, "params": {"context": None}}
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"]
    assert len(found) == len(pictures)
    return found


def event(labels: list[str], action: str = "ANNOTATION_CREATED", **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    region = {"from_name": "kind", "to_name": "img", "type": "choices", "value": {"choices": labels}}
    return {
        "action": action,
        "project": {"id": 1, "label_config": CONFIG},
        "task": {"id": 7, "data": {"picture": INLINE}},
        "annotation": {"id": 9, "result": [region] if labels else [], "was_cancelled": False, **changes},
    }


def test_it_is_alive_and_names_the_model_that_answers(live: Live) -> None:
    with backend(live, "cats") as client:
        for path in ("/", "/health"):
            assert client.get(path).json()["status"] == "UP"
        body = {"project": "1.1700000000", "schema": CONFIG, "hostname": "", "access_token": "", "extra_params": None}
        assert client.post("/setup", json=body).json() == {"model_version": "cats 1"}


def test_a_prediction_is_what_the_server_answers(live: Live) -> None:
    said = live.client.post("/v1/tasks/cats/predict?top_k=1", content=IMAGE).json()["results"][0]["predictions"][0]
    with backend(live, "cats") as client:
        (found,) = asked(client, INLINE)
    (region,) = found["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("kind", "img", "choices")
    assert region["value"] == {"choices": [said["label"]]}
    assert found["score"] == region["score"] == pytest.approx(said["probability"], abs=1e-5)
    assert found["model_version"] == "cats 1"


def test_independent_labels_are_all_that_are_given(live: Live) -> None:
    said = live.client.post("/v1/tasks/many/predict", content=IMAGE).json()["results"][0]
    with backend(live, "many") as client:
        (found,) = asked(client, INLINE)
    assert said["labels"]
    assert found["result"][0]["value"]["choices"] == said["labels"]


def test_only_choices_of_the_configuration_are_offered(live: Live) -> None:
    said = live.client.post("/v1/tasks/cats/predict?top_k=3", content=IMAGE).json()["results"][0]["predictions"]
    best, second = said[0]["label"], said[1]["label"]
    with backend(live, "cats") as client:
        (found,) = asked(client, INLINE, config=CONFIG.replace(f'value="{best}"', 'value="something else"'))
        (nothing,) = asked(client, INLINE, config=CONFIG.replace('value="class', 'value="kind'))
    assert found["result"][0]["value"]["choices"] == [second]
    assert (nothing["result"], nothing["score"]) == ([], 0.0)


def test_an_unknown_image_comes_first(live: Live) -> None:
    with backend(live, "foreign") as client:
        (found,) = asked(client, INLINE)
    assert found["score"] == 0
    assert found["result"][0]["score"] > 0


def test_images_come_from_label_studio_with_its_token_and_from_nowhere_else(live: Live, studio: str) -> None:
    places = ("/data/upload/1/five.png", f"{studio}/data/upload/1/five.png", "http://127.0.0.1:9/secret", "/etc", "")
    with backend(live, "cats", studio=studio, token=TOKEN) as client:
        found = asked(client, *places, INLINE)
    assert [bool(each["result"]) for each in found] == [True, True, False, False, False, True]
    assert found[0] == found[1] == found[-1]
    with backend(live, "cats", origins=(studio,)) as client:
        (refused,) = asked(client, f"{studio}/data/upload/1/five.png")
    assert refused["result"] == []  # the token is for Label Studio's own address alone


def test_an_annotation_is_a_correction_that_can_be_trained_on(live: Live) -> None:
    path = "/v1/tasks/cats/feedback"
    with backend(live, "cats") as client:
        made = client.post("/webhook", json=event(["class 2"]))
        assert (made.status_code, made.json()) == (201, {"status": "ok", "result": {"labels": ["class 2"]}})
        assert client.post("/webhook", json=event(["new"], "ANNOTATION_UPDATED")).status_code == 201
        for passed in (event([]), event(["class 1"], was_cancelled=True)):
            assert client.post("/webhook", json=passed).json()["result"] == {"labels": []}
        ignored = client.post("/webhook", json=event(["class 1"], "PROJECT_UPDATED"))
        assert (ignored.status_code, ignored.json()) == (200, {"status": "Unknown event"})
        (kept,) = live.client.get(path).json()["corrections"]
        assert kept["labels"] == ["new"]
        assert live.client.get(f"{path}/{kept['id']}/image").content == IMAGE
        several = client.post("/webhook", json=event(["class 1", "class 2"]))
        assert several.status_code == 502
        assert "exclude each other" in several.json()["error"]


def test_several_choices_are_several_labels(live: Live) -> None:
    with backend(live, "many") as client:
        assert client.post("/webhook", json=event(["class 1", "class 2"])).status_code == 201
    (kept,) = live.client.get("/v1/tasks/many/feedback").json()["corrections"]
    assert sorted(kept["labels"]) == ["class 1", "class 2"]


def test_a_password_opens_all_but_the_health(live: Live) -> None:
    with backend(live, "cats", password=PASSWORD) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/setup", json={"schema": CONFIG}).status_code == 401
        for sent in (("anyone", "wrong"), (PASSWORD, "")):
            assert client.post("/setup", json={"schema": CONFIG}, auth=sent).status_code == 401
        assert client.post("/setup", json={"schema": CONFIG}, auth=("anyone", PASSWORD)).status_code == 200
        broken = client.post("/setup", json={"schema": CONFIG}, headers={"Authorization": "Basic ?"})
        assert broken.status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", b"{"),
        ("/predict", b"[]"),
        ("/predict", b'{"tasks": [{}], "label_config": "<View/>"}'),
        ("/predict", b'{"tasks": [3], "label_config": ""}'),
        ("/setup", b'{"schema": "<View>"}'),
        ("/setup", b"{}"),
        ("/setup", b'{"schema": ' + b"[" * 100_000),
        ("/setup", b'{"schema": "<View/>", "schema": "<View/>"}'),
        ("/webhook", b'{"action": "ANNOTATION_CREATED"}'),
        ("/webhook", b'{"action": "ANNOTATION_CREATED", "annotation": 3, "project": {"label_config": ""}}'),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(live: Live, path: str, body: bytes) -> None:
    with backend(live, "cats") as client:
        response = client.post(path, content=body)
    assert response.status_code == 400
    assert "cannot be read" in response.json()["error"]


def test_a_request_has_a_bounded_number_of_labelling_tasks(live: Live) -> None:
    with backend(live, "cats") as client:
        body = {"tasks": [{}] * (MOST_TASKS + 1), "label_config": CONFIG}
        response = client.post("/predict", json=body)
    assert response.status_code == 400
    assert f"more than {MOST_TASKS}" in response.json()["error"]


def test_a_server_that_is_not_there_is_said(live: Live) -> None:
    with backend(live, "no-such-task") as client:
        response = client.post("/setup", json={"schema": CONFIG})
        assert (response.status_code, "404" in response.json()["error"]) == (502, True)
        assert asked(client, INLINE)[0]["result"] == []


def test_a_configuration_with_entities_is_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><View>&b;</View>'
    with pytest.raises(LabelStudioError, match="no <Choices>"):
        control_of(bomb)


def test_choices_have_the_names_that_annotations_use(tmp_path: Path) -> None:
    config = CONFIG.replace('value="class 0"', 'value="Zero" alias="class 0"')
    assert "class 0" in control_of(config).choices
    assert "Zero" not in control_of(config).choices
