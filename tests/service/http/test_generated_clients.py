"""Clients that others generate from the OpenAPI document are used against a real server, as their users would."""

import base64
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.service.adapters import Made, make
from tests.service.asking import IMAGE, PNG
from tests.service.live import Live, serving

PREDICT, MANAGE = "predict-key-0123456789", "manage-key-0123456789"
TEXT = base64.b64encode(PNG).decode()
_LONG = pytest.mark.timeout(600)  # a generator may take its time on a busy machine


@pytest.fixture(scope="module")
def guarded(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with keys."""
    path = tmp_path_factory.mktemp("generated") / "store.db"
    keys = {"predict_key": PREDICT, "manage_key": MANAGE}
    with serving(Settings.model_validate({"store": str(path), "request_seconds": 60, **keys}), made) as server:
        yield server


@pytest.fixture(scope="module")
def folder(guarded: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on Python's path, with the document in it."""
    folder = tmp_path_factory.mktemp("clients")
    answer = guarded.client.get("/openapi.json", headers={"Authorization": f"Bearer {PREDICT}"})
    (folder / "openapi.json").write_bytes(answer.content)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("opc_client", "og_client")]:
        del sys.modules[name]


def run(*command: str, folder: Path) -> str:
    """The output of a generator."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---------------------------------------------------------------- openapi-python-client
@pytest.fixture(scope="module")
def opc(guarded: Live, folder: Path) -> Any:  # noqa: ANN401 - generated
    """The package that openapi-python-client makes; it must understand every route."""
    (folder / "config.yml").write_text(json.dumps({"post_hooks": []}), encoding="utf-8")
    said = run("openapi-python-client", "generate", "--path", "openapi.json", "--config", "config.yml",
               "--meta", "none", "--output-path", "opc_client", folder=folder)  # fmt: skip
    assert "warning" not in said.lower()
    return importlib.import_module("opc_client")


def part(name: str) -> Any:  # noqa: ANN401
    return importlib.import_module(f"opc_client.{name}")


@_LONG
def test_openapi_python_client_predicts_in_every_form(opc: Any, guarded: Live, made: dict[str, Made]) -> None:  # noqa: ANN401
    models, types, predict = part("models"), part("types"), part("api.predict.predict")
    several = part("api.predict.predict_by_many")
    bodies = [
        models.PredictJson(images=[TEXT]),
        types.File(payload=PNG),
        models.PredictForm(images=[types.File(payload=PNG, file_name="three.png", mime_type="image/png")]),
    ]
    wanted = made["cats"].logits(IMAGE)
    with opc.AuthenticatedClient(str(guarded.client.base_url), PREDICT) as client:
        for body in bodies:
            answer = predict.sync("cats", client=client, body=body, output=models.Output.LOGITS)
            assert (answer.task, answer.version) == ("cats", 1)
            assert answer.results[0].logits == pytest.approx(wanted.tolist(), abs=1e-4)
        best = predict.sync("cats", client=client, body=bodies[0], top_k=1).results[0].predictions
        assert [each.index for each in best] == [int(wanted.argmax())]
        both = several.sync(client=client, body=models.FanoutJson(images=[TEXT], tasks=["cats", "dogs"]))
        assert [each.task for each in both.answers] == ["cats", "dogs"]
        refused = predict.sync("nobody", client=client, body=bodies[1])
        assert (type(refused), refused.code) == (models.Problem, "unknown_task")


@_LONG
def test_openapi_python_client_manages_tasks(opc: Any, guarded: Live, task: str) -> None:  # noqa: ANN401
    models, types = part("models"), part("types")
    put, tasks, alias = part("api.tasks.put_task"), part("api.tasks.list_tasks"), part("api.aliases.put_alias")
    with opc.AuthenticatedClient(str(guarded.client.base_url), MANAGE) as client:
        made = put.sync(task, client=client, body=types.File(payload=make(41).data))
        assert (made.task, made.version, made.created) == (task, 1, True)
        page = tasks.sync(client=client, limit=1, prefix=task)
        assert ([each.task for each in page.tasks], page.next_) == ([task], None)
        moved = alias.sync(task, "spare", client=client, body=models.ToVersion(version=1))
        assert moved.weights.to_dict() == {"1": 1.0}
        infer = part("api.open_inference_protocol.v2_infer")
        tensor = models.Input(name="image", datatype="BYTES", shape=[1], data=[TEXT])
        answer = infer.sync(task, client=client, body=models.InferenceRequest(inputs=[tensor]))
        assert (answer.model_name, answer.outputs[0].name) == (task, "logits")


# ---------------------------------------------------------------- openapi-generator
@pytest.fixture(scope="module")
def og(guarded: Live, folder: Path) -> Any:  # noqa: ANN401 - generated
    """The package that openapi-generator makes for Python, over a connection."""
    run("openapi-generator-cli", "generate", "-i", "openapi.json", "-g", "python", "-o", ".",
        "--package-name", "og_client", folder=folder)  # fmt: skip
    return importlib.import_module("og_client")


@_LONG
def test_openapi_generators_client_predicts_and_manages(og: Any, guarded: Live, made: dict[str, Made]) -> None:  # noqa: ANN401
    configuration = og.Configuration(host=str(guarded.client.base_url).rstrip("/"), access_token=MANAGE)
    with og.ApiClient(configuration) as client:
        predictions, tasks = og.PredictApi(client), og.TasksApi(client)
        answer = predictions.predict("cats", og.PredictJson(images=[TEXT]), output=og.Output.LOGITS)
        assert answer.results[0].logits == pytest.approx(made["cats"].logits(IMAGE).tolist(), abs=1e-4)
        raw = predictions.predict_by_many(og.FanoutJson(images=[TEXT], tasks=og.Tasks(["cats", "dogs"])))
        assert [each.task for each in raw.answers] == ["cats", "dogs"]
        assert tasks.put_task("og", make(42).data).created
        assert tasks.get_task("og").labels == [f"class {index}" for index in range(4)]
        target = og.AliasTarget(og.ToVersion(version=1))
        assert og.AliasesApi(client).put_alias("og", "live", target).weights == {"1": 1.0}
        assert og.VersionsApi(client).get_file("og", 1) == make(42).data
        tensor = og.Input(name="image", datatype="BYTES", shape=[1], data=[TEXT])
        inferred = og.OpenInferenceProtocolApi(client).v2_infer("og", og.InferenceRequest(inputs=[tensor]))
        assert inferred.model_version == "1"
        with pytest.raises(og.exceptions.NotFoundException) as caught:
            tasks.get_task("nobody")
        assert caught.value.data.code == "unknown_task"
