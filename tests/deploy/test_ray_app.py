"""The parts of the application for Ray Serve that need no cluster. `tests/stress/test_cluster.py` runs the whole."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from deploy.ray_app import RATIO, LostAnswers, Plan, QueuePolicy, Replica, application, middlewares
from service.errors import SettingsError
from service.schemas import Problem

ROOT = Path(__file__).parents[2]
HEALTH = """
import asyncio, sys
from deploy.ray_app import RATIO, Replica

async def check():
    replica = Replica({"host": "127.0.0.1", "store": sys.argv[1], "kernels": "off"})
    async with replica._service.running():
        await replica.check_health()
        assert await replica.record_autoscaling_stats() == {RATIO: 0.0}
        replica._service.readiness.fail(RuntimeError("lost"))
        try:
            await replica.check_health()
        except RuntimeError as error:
            print(error)

asyncio.run(check())
"""


def answered(path: str, *headers: tuple[bytes, bytes], status: int = 200, body: bool = True) -> list[Message]:
    """The messages for a request to an application that answers with these headers.

    Args:
        path: of the request.
        headers: of the answer.
        status: of the answer; 0: there is none.
        body: whether the request's body comes to its end.
    """
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if status:
            await send({"type": "http.response.start", "status": status, "headers": list(headers)})
            await send({"type": "http.response.body", "body": b"yes"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"image", "more_body": not body}

    asyncio.run(LostAnswers(app)({"type": "http", "path": path}, receive, send))
    return sent


@pytest.mark.parametrize("status", [0, 408])  # 408: the body was lost between proxy and replica
def test_a_request_without_an_answer_is_503_with_a_problem(status: int) -> None:
    start, body = answered("/v1/tasks/digits/predict", status=status)
    problem = Problem.model_validate_json(body["body"])
    assert (start["status"], problem.code, problem.status) == (503, "replica_lost", 503)
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert headers[b"retry-after"] == b"0"


def test_below_v2_its_body_is_that_of_the_protocol() -> None:
    _, body = answered("/v2/models/digits/infer", status=0)
    assert json.loads(body["body"]).keys() == {"error"}


def test_a_body_that_does_not_come_is_the_client_s_fault() -> None:
    assert answered("/", status=408, body=False)[0]["status"] == 408


def test_an_answer_passes_with_one_request_id() -> None:
    given = [(b"x-request-id", b"a"), (b"etag", b"1"), (b"X-Request-ID", b"a"), (b"etag", b"2")]
    start, body = answered("/", *given)
    assert start["headers"] == [(b"x-request-id", b"a"), (b"etag", b"1"), (b"etag", b"2")]
    assert body["body"] == b"yes"
    (made,) = middlewares()
    assert str(made) == "Middleware(LostAnswers)"


def test_replicas_are_as_many_as_full_queues_want() -> None:
    policy = QueuePolicy(0.5)
    context = SimpleNamespace(aggregated_metrics={RATIO: {"a": 0.75, "b": 0.5}}, target_num_replicas=2)
    assert policy(context) == (2.5, {})
    unknown: tuple[dict[str, dict[str, float]] | None, ...] = (None, {}, {RATIO: {}})
    for found in unknown:
        assert policy(SimpleNamespace(aggregated_metrics=found, target_num_replicas=3)) == (3, {})


def test_a_plan_reads_words_and_refuses_what_it_does_not_know() -> None:
    plan = Plan.model_validate({"replicas": "2", "gpus": "1", "settings": {"store": "s3://bucket/mimi"}})
    assert (plan.replicas, plan.gpus, plan.settings) == (2, 1.0, {"store": "s3://bucket/mimi"})
    for wrong in ({"replica": 2}, {"replicas": 0}, {"queue_ratio": 0}, {"queue_ratio": 1.5}, {"cpus": 0}):
        with pytest.raises(ValidationError):
            Plan.model_validate(wrong)


def test_a_deployment_has_a_fixed_number_or_follows_the_queues() -> None:
    fixed = application(Plan(replicas=3, gpus=1))._bound_deployment
    assert (fixed.num_replicas, fixed.ray_actor_options) == (3, {"num_cpus": 1.0, "num_gpus": 1.0})
    config = application(Plan(replicas=2, most_replicas=5, queue_ratio=0.25))._bound_deployment._deployment_config
    scaling = config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.policy.policy_kwargs) == (2, 5, {"ratio": 0.25})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "needs keys"),  # Ray's proxies may listen anywhere
        ({"host": "127.0.0.1", "workers": "2"}, "workers"),
        ({"host": "127.0.0.1", "grpc_port": "0"}, "grpc_port"),
        ({"host": "127.0.0.1", "store": "memory://"}, "store"),
        ({"host": "127.0.0.1", "stor": "x"}, "stor"),
    ],
)
def test_a_replica_refuses_settings_that_mean_nothing_there(
    settings: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("MIMI_")]:
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=reason):
        Replica(settings)


def test_a_replica_is_well_until_its_engine_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEALTH, str(tmp_path / "store.db")]  # it changes logs and memory of its process
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "the engine is not running: lost\n", done.stderr
