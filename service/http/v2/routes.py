"""The routes of the Open Inference Protocol: inference, the server and its models (our tasks), and the repository.

Sources: inference_rest.md; Triton, docs/protocol/extension_model_repository.md.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, TypeAdapter

from service.errors import InvalidInference, UnknownTask
from service.http import openapi
from service.http.payload import Body, read_document, read_file
from service.http.routes.canaries import StickyHeaders, stickiness
from service.http.routes.common import Running, Task, begin, body_of, may_manage, may_predict, while_connected
from service.http.routes.versions import Number
from service.http.v2 import docs
from service.http.v2.bodies import HEADER, parse_body, render, split_body
from service.metrics.counters import Kind
from service.metrics.statistics import VersionTotals
from service.oip import inference
from service.oip.models import repository_index, server_metadata, statistics
from service.oip.schemas import (
    IndexRequest,
    InferenceResponse,
    LoadRequest,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    RepositoryModel,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from service.service import Service
from service.tasks.targets import Target

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_KEY = [Depends(may_predict)]
_NOT_READY = 503
_Length = Annotated[
    str | None,
    Header(alias=HEADER, description="bytes of JSON before binary tensors; 0: the body is one encoded image"),
]
_INFER: dict[str, Any] = {
    "dependencies": _KEY,
    "response_model": InferenceResponse,
    "responses": {**openapi.documented(404, 408, 409, 415, 422, 504), 200: docs.INFERRED},
    "openapi_extra": {"requestBody": docs.INFER_BODY},
}


@router.post("/models/{task}/infer", **_INFER)
async def infer(
    task: Task, service: Running, request: Request, length: _Length = None, _sticky: StickyHeaders = None
) -> Response:
    """Ask a task about images.

    The input is `image`, BYTES [N] of JPEG, PNG or WebP files (in JSON as base64), or UINT8 [N, H, W, 3]; or `pixels`,
    FP32 [N, 3, H, W], normalised already. Outputs are `logits`, `probabilities` and `features`, all of them unless
    some are named. Tasks whose files say how answers are read have more: `given`, BOOL [N, K], the labels that reach
    their threshold (or the parameter `threshold`); `known`, BOOL [N], false for images like none of the task's; and
    `unknown_score`, FP32 [N], above 1 for those. With the parameter `classification` the largest values come as
    "value:index:label". `timeout` (microseconds) and `priority` (1 is the highest) are honoured. `id` is given back.
    """
    return await _infer(service, request, Target(task), length)


@router.post("/models/{task}/versions/{version}/infer", **_INFER)
async def infer_version(
    task: Task, version: Number, service: Running, request: Request, length: _Length = None
) -> Response:
    """As `/v2/models/{task}/infer`, by one version."""
    return await _infer(service, request, Target(task, version=version), length)


async def _infer(service: Service, request: Request, target: Target, length: str | None) -> Response:
    record, sticky = begin(request, service, Kind.PREDICTION), stickiness(request)
    target = replace(target, key=sticky.key)
    await inference.resolve(service, record, target)  # before its images travel
    body = await read_file(Body("", body_of(request).stream), most_bytes=service.settings.body_bytes)
    work = inference.infer(
        service,
        record,
        lambda limits: parse_body(split_body(body, length), limits),
        by_image=target if sticky.by_image else None,
    )
    answer = await while_connected(request, work)
    rendered = render(answer.outputs, answer.parsed)
    if rendered.header is None:
        return Response(rendered.body, media_type="application/json")
    return Response(rendered.body, headers={HEADER: str(rendered.header)}, media_type="application/octet-stream")


_METADATA: dict[str, Any] = {
    "dependencies": _KEY,
    "responses": {**openapi.documented(404, 422), 200: docs.example("model")},
}
_CONFIG: dict[str, Any] = {
    "dependencies": _KEY,
    "responses": {**openapi.documented(404, 422), 200: docs.example("config")},
    "response_model_exclude_none": True,
}
_STATS: dict[str, Any] = {
    "dependencies": _KEY,
    "responses": {**openapi.documented(404, 422), 200: docs.example("stats")},
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
    """The process is alive."""
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
    """The server takes requests; 503 while it stops, or while one of its parts cannot work."""
    takes_work = inference.is_ready(service)
    return _json(ServerReady(live=True, ready=takes_work), 200 if takes_work else _NOT_READY)


@router.get("", dependencies=_KEY, responses={200: docs.example("server")})
async def server(service: Running) -> ServerMetadata:
    """This server, the extensions of the protocol that it has, and the precision that it computes in."""
    return server_metadata(service.engine.precision)


@router.get("/models/{task}", **_METADATA)
async def model(task: Task, service: Running) -> ModelMetadata:
    """A task as a model: its versions, its input, its outputs."""
    return await inference.metadata(service, Target(task))


@router.get("/models/{task}/versions/{version}", **_METADATA)
async def model_version(task: Task, version: Number, service: Running) -> ModelMetadata:
    """As `/v2/models/{task}`, of one version."""
    return await inference.metadata(service, Target(task, version=version))


@router.get("/models/{task}/config", **_CONFIG)
async def model_config_of(task: Task, service: Running) -> ModelConfig:
    """How a task is served, in the words of Triton's model configuration; its labels are among the parameters."""
    return await inference.config(service, Target(task))


@router.get("/models/{task}/versions/{version}/config", **_CONFIG)
async def model_version_config(task: Task, version: Number, service: Running) -> ModelConfig:
    """As `/v2/models/{task}/config`, of one version."""
    return await inference.config(service, Target(task, version=version))


@router.get("/models/{task}/stats", **_STATS)
async def model_stats(task: Task, service: Running) -> ModelStatistics:
    """The outcome of the requests to a task's versions on this server since it began: counts, and time by stage."""
    if task not in service.registry.table:
        raise UnknownTask("no task of this name is published")
    return statistics(task, service.metrics.statistics.of(task, service.registry.table[task]))


@router.get("/models/{task}/versions/{version}/stats", **_STATS)
async def model_version_stats(task: Task, version: Number, service: Running) -> ModelStatistics:
    """As `/v2/models/{task}/stats`, of one version."""
    await service.targets.named(Target(task, version=version))  # there is one
    totals = service.metrics.statistics.of(task, service.registry.table[task])
    return statistics(task, {version: totals.get(version, VersionTotals.empty())})


@router.get("/models/{task}/ready", **_READY)
async def model_ready(task: Task, service: Running) -> Response:
    """Whether a task answers here; 404 if it is not published, 503 if it is and does not."""
    return await _ready(service, Target(task))


@router.get("/models/{task}/versions/{version}/ready", **_READY)
async def model_version_ready(task: Task, version: Number, service: Running) -> Response:
    """As `/v2/models/{task}/ready`, of one version, which is loaded for it."""
    return await _ready(service, Target(task, version=version))


async def _ready(service: Service, target: Target) -> Response:
    answers = await inference.answers(service, target)
    return _json(ModelReady(name=target.task, ready=answers), 200 if answers else _NOT_READY)


def _json(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")


_INDEX_REQUEST, _LOAD_REQUEST = TypeAdapter(IndexRequest), TypeAdapter(LoadRequest)


@router.post(
    "/repository/index",
    dependencies=[Depends(may_predict)],
    responses={**openapi.documented(408, 422), 200: docs.example("index")},
    response_model_exclude_none=True,
    openapi_extra={"requestBody": docs.body(IndexRequest, {"ready": True})},
)
async def index(service: Running, request: Request) -> list[RepositoryModel]:
    """Every version that is served here, and every task that cannot be served; with `ready` only the former."""
    asked = await read_document(await _body(request), _INDEX_REQUEST, example='{"ready": true}')
    return repository_index(service.registry.table, only_ready=asked.ready)


@router.post(
    "/repository/models/{task}/load",
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 408, 409, 422),
    openapi_extra={"requestBody": docs.body(LoadRequest, {})},
    response_class=Response,
)
async def load(task: Task, service: Running, request: Request) -> None:
    """Serve a task here (again), as the store has it now. Files are published with PUT /v1/tasks/{task}."""
    asked = await read_document(await _body(request), _LOAD_REQUEST, example="{}")
    if asked.parameters:
        raise InvalidInference("load takes no parameters: publish files with PUT /v1/tasks/{task}")
    await inference.load(service, task)


@router.post(
    "/repository/models/{task}/unload",
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 408, 422),
    openapi_extra={"requestBody": docs.body(LoadRequest, {"parameters": {"unload_dependents": False}})},
    response_class=Response,
)
async def unload(task: Task, service: Running, request: Request) -> None:
    """Stop serving a task on this server and evict its weights, until it is loaded again."""
    await read_document(await _body(request), _LOAD_REQUEST, example="{}")
    await inference.unload(service, task)


async def _body(request: Request) -> Body:
    """The document that was sent; an empty body stands for an empty object."""
    stream = request.stream()
    async for chunk in stream:
        if chunk:
            return Body("", _rest(chunk, stream))
    return Body("", _rest(b"{}", stream))


async def _rest(first: bytes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in stream:
        yield chunk
