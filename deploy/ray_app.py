"""The server as an application of Ray Serve: the ASGI application of `mimi serve` as ingress, one replica a device.

    export PYTHONPATH=$PWD RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deploy.ray_app:middlewares   # on every node
    ray start --head
    serve run deploy.ray_app:application replicas=2

Every replica answers every task and batches by itself, so neither `serve.multiplexed` nor `serve.batch` is used: both
would split batches by task. Ray routes requests, counts replicas, and replaces those that die. This module stays light,
because Ray's proxies import it: a replica alone imports the server.
"""

import gc
import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RATIO = "mimi_queue_ratio"  # images that wait in a replica, divided by the most that may

_ANYWHERE = {"MIMI_HOST": "0.0.0.0"}  # where Ray's proxies may listen: the server then asks for keys
_ONGOING = 1024  # requests in a replica at once: its own limits refuse sooner, and say why
_HEALTH_SECONDS = 2.0  # between questions to a replica; it is replaced after three bad answers
_DRAIN_SECONDS = 60.0  # for the requests that a stopped replica has
_REQUEST_ID = b"x-request-id"
_LOST = "the replica that had this request is gone"


class Plan(BaseModel):
    """The arguments of `application`.

    Attributes:
        replicas: at least, each with a device of its own.
        most_replicas: at most, by how full their queues are; 0: as many as `replicas`, always.
        queue_ratio: of a full queue, at which a replica counts as busy.
        cpus: cores of a replica, which are the threads of its forward pass.
        gpus: GPUs of a replica.
        settings: of the server, by their names and as text. Keys belong into a file, or into variables of each node.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replicas: int = Field(default=1, ge=1)
    most_replicas: int = Field(default=0, ge=0)
    queue_ratio: float = Field(default=0.5, gt=0, le=1)
    cpus: float = Field(default=1.0, gt=0)
    gpus: float = Field(default=0.0, ge=0)
    settings: Mapping[str, str] = Field(default_factory=dict)


def application(plan: Plan) -> serve.Application:
    """The application, for `serve run` and for files of `serve deploy`."""
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name="mimi",
        ray_actor_options={"num_cpus": plan.cpus, "num_gpus": plan.gpus},
        max_ongoing_requests=_ONGOING,
        max_queued_requests=_ONGOING,
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        **_scaling(plan),
    )
    app: serve.Application = deployment.bind(dict(plan.settings))
    return app


def _scaling(plan: Plan) -> dict[str, Any]:
    """Options of the deployment: a fixed number of replicas, or one that follows the queues."""
    if plan.most_replicas <= plan.replicas:
        return {"num_replicas": plan.replicas}
    policy = AutoscalingPolicy(policy_function=QueuePolicy, policy_kwargs={"ratio": plan.queue_ratio})
    scaling = AutoscalingConfig(
        min_replicas=plan.replicas,
        max_replicas=plan.most_replicas,
        policy=policy,
        look_back_period_s=15.0,
        upscale_delay_s=5.0,
        downscale_delay_s=300.0,
    )
    return {"autoscaling_config": scaling}


class Replica:
    """One server without a socket, for Ray's proxies."""

    def __init__(self, given: Mapping[str, str]) -> None:
        """Build the server from these settings, and from MIMI_ variables of this node.

        Raises:
            SettingsError, StoreError, BackboneError: as at the start of `mimi serve`.
        """
        from backbone.memory import keep_large_blocks
        from service.process.configuration import load
        from service.process.server import build
        from service.telemetry import logs

        settings = load({**_ANYWHERE, **os.environ}, given)
        _check(settings.workers, settings.grpc_port, settings.store)
        keep_large_blocks()
        logs.configure(settings)
        self._service = build(settings)
        gc.collect()
        gc.freeze()  # as `mimi serve` does

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application, whose lifespan Ray runs."""
        from service.http.app import create_app

        return create_app(self._service)

    async def check_health(self) -> None:
        """Raise if only another replica can help. A store that is gone is not such a reason: what is loaded answers."""
        if (failure := self._service.readiness.failure) is not None:
            raise RuntimeError(f"the engine is not running: {failure}")
        if not self._service.decoder.healthy:
            raise RuntimeError("images are not being decoded")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """How full the queue of images is, in [0, 1]."""
        return {RATIO: self._service.batcher.queued / self._service.settings.queue_images}


def _check(workers: int, grpc_port: int | None, store: str) -> None:
    """Refuse settings that mean nothing in a replica.

    Raises:
        SettingsError: naming the setting.
    """
    from service.errors import SettingsError

    if workers != 1:
        raise SettingsError("workers: under Ray Serve each replica is one process; set the number of replicas")
    if grpc_port is not None:
        raise SettingsError("grpc_port: under Ray Serve only HTTP is answered")
    if store.startswith("memory:"):
        raise SettingsError("store: a store in memory belongs to one process; replicas need another one")


class QueuePolicy:
    """How many replicas there should be: so many that their queues are filled to a given ratio, in the mean."""

    def __init__(self, ratio: float) -> None:
        """`ratio` is in ]0, 1]."""
        self._ratio = ratio

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:  # noqa: ANN401 - Ray's AutoscalingContext
        """The number before Ray's limits and delays, and no state."""
        ratios = (context.aggregated_metrics or {}).get(RATIO) or {}
        if not ratios:  # nothing is known yet
            return context.target_num_replicas, {}
        return sum(ratios.values()) / self._ratio, {}


def middlewares() -> list[Middleware]:
    """For Ray's proxies: name this function in RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(LostAnswers)]


class LostAnswers:
    """Answers 503 `replica_lost` where a replica died before it began to answer, so that clients ask again.

    Without it Ray's proxy answers 500, after which `service.client` does not repeat a request. A replica's 408 is
    answered so too if the whole body came from the client: it was lost between proxy and replica. Of two headers
    X-Request-Id, the server's own passes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await self._app(scope, exchange.receive, exchange.send)
        if not exchange.answered:
            await _say_lost(scope["path"], send)


class _Exchange:
    """One request and its answer, as a proxy passes them on."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._complete = False  # the whole body came from the client
        self._dropping = False
        self.answered = False

    async def receive(self) -> Message:
        """The next piece of the body."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._complete = True
        return message

    async def send(self, message: Message) -> None:
        """Send, unless this is the answer of a replica that did not get the body."""
        if message["type"] == "http.response.start":
            self._dropping = self._complete and message["status"] == HTTPStatus.REQUEST_TIMEOUT
            self.answered = not self._dropping
            message = {**message, "headers": _once(message.get("headers", []))}
        if not self._dropping:
            await self._send(message)


def _once(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with the first X-Request-Id alone."""
    names = [name.lower() for name, _ in headers]
    return [
        each for index, each in enumerate(headers) if names[index] != _REQUEST_ID or _REQUEST_ID not in names[:index]
    ]


async def _say_lost(path: str, send: Send) -> None:
    """The error body of service/problems.py, whose import would cost a proxy seconds and memory."""
    v2 = path == "/v2" or path.startswith("/v2/")
    problem = {"type": "urn:mimi:problem:replica_lost", "title": "Replica lost", "status": 503, "detail": _LOST}
    body = json.dumps({"error": _LOST} if v2 else {**problem, "code": "replica_lost"}).encode()
    headers = [
        (b"content-type", b"application/json" if v2 else b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"0"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
