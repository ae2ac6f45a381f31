"""The Open Inference Protocol: what the server and its models (our tasks) are, and whether they answer."""

from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from service.errors import NotReady, TaskUnavailable
from service.http import openapi
from service.http.routes.common import Running, Task, may_predict
from service.http.routes.versions import Number
from service.http.v2 import docs, metadata
from service.http.v2.schemas import ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady
from service.service import Service
from service.tasks.targets import Target

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_KEY = [Depends(may_predict)]
_NOT_READY = 503
_METADATA: dict[str, Any] = {
    "dependencies": _KEY,
    "responses": {**openapi.documented(404, 422), 200: docs.example("model")},
}
_READY: dict[str, Any] = {
    "dependencies": _KEY,
    "response_model": ModelReady,
    "responses": {
        **openapi.documented(404, 422),
        200: docs.example("model ready"),
        503: {"model": ModelReady, "description": "Not ready", **docs.example("model not ready")},
    },
}


@router.get("/health/live", responses={200: docs.example("live")})
async def live() -> ServerLive:
    """The process answers."""
    return ServerLive(live=True)


@router.get(
    "/health/ready",
    response_model=ServerReady,
    responses={
        200: docs.example("ready"),
        503: {"model": ServerReady, "description": "Not ready", **docs.example("not ready")},
    },
)
async def ready(service: Running) -> Response:
    """Work is taken; 503 while the server stops, or when its engine is down."""
    try:
        service.check_ready()
    except NotReady:
        return _json(ServerReady(live=True, ready=False), _NOT_READY)
    return _json(ServerReady(live=True, ready=True))


@router.get("", dependencies=_KEY, responses={200: docs.example("server")})
async def server() -> ServerMetadata:
    """This server, and the extensions of the protocol that it has."""
    return metadata.server()


@router.get("/models/{task}", **_METADATA)
async def model(task: Task, service: Running) -> ModelMetadata:
    """A task as a model: its versions, its input, its outputs."""
    return await _metadata(service, Target(task))


@router.get("/models/{task}/versions/{version}", **_METADATA)
async def model_version(task: Task, version: Number, service: Running) -> ModelMetadata:
    """As `/v2/models/{task}`, of one version."""
    return await _metadata(service, Target(task, version=version))


@router.get("/models/{task}/ready", **_READY)
async def model_ready(task: Task, service: Running) -> Response:
    """Whether a task answers here; 404 if it is not published, 503 if it is and does not."""
    return await _ready(service, Target(task))


@router.get("/models/{task}/versions/{version}/ready", **_READY)
async def model_version_ready(task: Task, version: Number, service: Running) -> Response:
    """As `/v2/models/{task}/ready`, of one version, which is loaded for it."""
    return await _ready(service, Target(task, version=version))


async def _metadata(service: Service, target: Target) -> ModelMetadata:
    served = await service.targets.served(target)
    state = await service.reads.run(lambda: service.catalogue.task(target.task))
    return metadata.model(served, state.versions, service.engine.backbone)


async def _ready(service: Service, target: Target) -> Response:
    try:
        service.check_ready()
        await service.targets.served(target)
    except (NotReady, TaskUnavailable):
        return _json(ModelReady(name=target.task, ready=False), _NOT_READY)
    return _json(ModelReady(name=target.task, ready=True))


def _json(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")
