"""Predictions: one task by its live version, by an alias or by a version; or many tasks at once."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Receive, Scope, Send

from service.http import examples, openapi
from service.http.multipart import FormLimits
from service.http.payload import MANY_TASKS, ONE_TASK, Payload, PredictSchema, read_payload
from service.http.routes.aliases import Alias
from service.http.routes.canaries import StickyHeaders, key_of_images, stickiness
from service.http.routes.common import Running, Task, begin, body_of, may_predict, service_of, while_connected
from service.http.routes.versions import Number
from service.http.views import fanout_answer, predict_answer
from service.metrics.counters import AskedTask, Kind, RequestRecord
from service.prediction.predict import Outputs
from service.schemas import ALL_TASKS, TASK_PATTERN, FanoutAnswer, FanoutOptions, PredictAnswer, PredictOptions
from service.service import Service
from service.tasks.table import TaskVersion
from service.tasks.targets import Target
from service.telemetry.logs import request_name

_PREDICT = re.compile(rf"/v1/tasks/(?P<task>{TASK_PATTERN.removeprefix('^').removesuffix('$')})/predict")
_LONGEST_QUERY = 64  # bytes


def simple_options(query: bytes) -> PredictOptions | None:
    """The options of a simple query string; None if FastAPI must parse it."""
    return _options(query) if len(query) <= _LONGEST_QUERY else None


@lru_cache(maxsize=64)
def _options(query: bytes) -> PredictOptions | None:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query))
        return PredictOptions.model_validate(dict(pairs)) if len(dict(pairs)) == len(pairs) else None
    except ValueError:  # pydantic's is one as well
        return None


router = APIRouter(dependencies=[Depends(may_predict)], tags=["predict"])

_Options = Annotated[PredictOptions, Query()]
_DOCUMENTED: dict[str, Any] = {
    "response_model": PredictAnswer,
    "responses": {**openapi.documented(404, 408, 409, 415, 422, 504), 200: examples.ANSWERED},
    "openapi_extra": {"requestBody": examples.PREDICT_BODY},
}


@router.post("/v1/tasks/{task}/predict", **_DOCUMENTED)
async def predict(
    task: Task, options: _Options, service: Running, request: Request, _sticky: StickyHeaders = None
) -> Response:
    """Classify one or more images by the labels of a task.

    The body is one raw image, a multipart form with images as files, or JSON with base64 images. Images are JPEG, PNG
    or WebP, recognised by their bytes. `top_k`, `output` and `threshold` may be in the query or in the body; the body's
    win. An answer says whether the image is `known` at all, if the task's file has the values for that.
    """
    return await _one(service, request, Target(task), options)


@router.post("/v1/tasks/{task}/aliases/{alias}/predict", **_DOCUMENTED)
async def predict_by_alias(
    task: Task, alias: Alias, options: _Options, service: Running, request: Request, _sticky: StickyHeaders = None
) -> Response:
    """As `/v1/tasks/{task}/predict`, by the version that another alias points at."""
    return await _one(service, request, Target(task, alias=alias), options)


@router.post("/v1/tasks/{task}/versions/{version}/predict", **_DOCUMENTED)
async def predict_by_version(
    task: Task, version: Number, options: _Options, service: Running, request: Request
) -> Response:
    """As `/v1/tasks/{task}/predict`, by one version, whether an alias points at it or not.

    The first call may take as long as reading the version from the store.
    """
    return await _one(service, request, Target(task, version=version), options)


@router.post(
    "/v1/predict",
    response_model=FanoutAnswer,
    responses={**openapi.documented(404, 408, 409, 415, 422, 504), 200: examples.FANNED_OUT},
    openapi_extra={"requestBody": examples.FANOUT_BODY},
)
async def predict_by_many(
    options: Annotated[FanoutOptions, Query()], service: Running, request: Request, _sticky: StickyHeaders = None
) -> Response:
    """Ask many tasks about the same images; the trunk that they share is computed once.

    `tasks` may stand in the query (repeated), the form (repeated) or the JSON (a list); the body's win. `all`, or
    none, asks every task that can be served now. Otherwise as `/v1/tasks/{task}/predict`.
    """
    record, sticky = begin(request, service, Kind.PREDICTION), stickiness(request)
    versions = await _resolve(service, options.tasks, sticky.key)  # a wrong name is told before its images travel
    payload = await _read(service, request, MANY_TASKS)
    if payload.tasks or sticky.by_image:
        key = await key_of_images(service, payload.images) if sticky.by_image else sticky.key
        versions = await _resolve(service, payload.tasks or options.tasks, key)
    record.asked = [AskedTask(version) for version in versions]
    outputs = await _predict(service, request, record, payload)
    return _json(fanout_answer(outputs, _merged(payload, options)))


class DirectPredictions:
    """Answers the most frequent request with a third of the event loop's work of FastAPI's own way to its route.

    FastAPI matches routes, evaluates their parameters and opens contexts for what they may have to close: much of a
    prediction's time on the event loop. This layer evaluates them itself for a valid task and simple query options.
    FastAPI handles all other requests, and documents the route.
    """

    def __init__(self, api: FastAPI) -> None:
        """`api` has the route, and the handlers of errors, which are the same here."""
        handlers = dict(api.exception_handlers)
        unexpected = handlers.pop(Exception)
        self._api = api
        self._route = next(each for each in router.routes if isinstance(each, APIRoute) and each.endpoint is predict)
        self._direct = ServerErrorMiddleware(ExceptionMiddleware(self._answer, handlers=handlers), handler=unexpected)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request here, or pass it on."""
        found = _PREDICT.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None or simple_options(scope["query_string"]) is None:
            await self._api(scope, receive, send)
        else:
            scope.update(app=self._api, route=self._route, path_params=found.groupdict())
            await self._direct(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        options = simple_options(scope["query_string"])
        assert options is not None, "as in __call__"
        request = Request(scope, receive, send)
        with may_predict.admitted(request):
            response = await _one(service_of(request), request, Target(scope["path_params"]["task"]), options)
        await response(scope, receive, send)


async def _one(service: Service, request: Request, target: Target, options: PredictOptions) -> Response:
    record, sticky = begin(request, service, Kind.PREDICTION), stickiness(request)
    if sticky.key is not None:
        target = replace(target, key=sticky.key)
    record.asked = [AskedTask(await service.targets.named(target))]  # before the images travel
    payload = await _read(service, request, ONE_TASK)
    if sticky.by_image:
        target = replace(target, key=await key_of_images(service, payload.images))
        record.asked = [AskedTask(await service.targets.named(target))]
    outputs = await _predict(service, request, record, payload)
    return _json(predict_answer(outputs, _merged(payload, options)))


def _merged(payload: Payload, options: PredictOptions) -> PredictOptions:
    """The options of the body and of the query; those of the body win."""
    given = payload.options.model_dump(exclude_none=True)
    return options.model_copy(update=given) if given else options


async def _resolve(service: Service, names: Sequence[str], key: str | None) -> list[TaskVersion]:
    """The versions that answer for these tasks now; if none are named, for all tasks that can be served."""
    if names and ALL_TASKS not in names:
        targets = [Target(task, key=key) for task in dict.fromkeys(names)]
    else:
        targets = service.targets.everything(key)
    return [await service.targets.named(target) for target in targets]


async def _predict(service: Service, request: Request, record: RequestRecord, payload: Payload) -> Outputs:
    """Ask the versions of a record about the images of a body, and note the results in the record."""
    tasks = await service.targets.ready([asked.named for asked in record.asked])
    work = service.predictor.predict(tasks, payload.images, client=record.client)
    outputs = await while_connected(request, work)
    record.decoding, record.computed = outputs.decode_seconds, perf_counter()
    for asked, output in zip(record.asked, outputs.tasks, strict=True):
        asked.results = output.results
    service.feedback.remember(request_name.get(), payload.images, outputs)
    return outputs


async def _read(service: Service, request: Request, schema: PredictSchema) -> Payload:
    limits = FormLimits(service.settings.images_per_request, service.settings.image_bytes)
    return await read_payload(body_of(request), images=limits, offload=service.decoder.offload, schema=schema)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")
