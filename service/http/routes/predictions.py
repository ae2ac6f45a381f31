"""Predictions: one task by its live version, by an alias or by a version; or many tasks at once."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from service.http import examples, openapi
from service.http.multipart import FormLimits
from service.http.payload import MANY_TASKS, ONE_TASK, Payload, Shape, read_payload
from service.http.routes.aliases import Alias
from service.http.routes.common import Running, Task, body_of, may_predict, while_connected
from service.http.routes.plain import PlainRoute
from service.http.routes.versions import Number
from service.http.views import fanout_answer, predict_answer
from service.schemas import ALL_TASKS, FanoutAnswer, FanoutOptions, PredictAnswer, PredictOptions
from service.service import Service
from service.tasks.targets import Target

router = APIRouter(dependencies=[Depends(may_predict)], tags=["predict"])
_plain = APIRouter(route_class=PlainRoute)

_Options = Annotated[PredictOptions, Query()]
_DOCUMENTED: dict[str, Any] = {
    "response_model": PredictAnswer,
    "responses": {**openapi.documented(404, 408, 415, 422, 504), 200: examples.ANSWERED},
    "openapi_extra": {"requestBody": examples.PREDICT_BODY},
}


@_plain.post("/v1/tasks/{task}/predict", **_DOCUMENTED)
async def predict(task: Task, options: _Options, service: Running, request: Request) -> Response:
    """Name what one or more images show, in the words of the task.

    The body is one raw image (JPEG, PNG or WebP, judged by its bytes), a multipart form with images as files, or
    JSON with base64 images. `top_k` and `output` may stand in the query, the form or the JSON; the body's win.
    """
    return await _one(service, request, Target(task), options)


router.include_router(_plain)


@router.post("/v1/tasks/{task}/aliases/{alias}/predict", **_DOCUMENTED)
async def predict_by_alias(task: Task, alias: Alias, options: _Options, service: Running, request: Request) -> Response:
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
    responses={**openapi.documented(404, 408, 415, 422, 504), 200: examples.FANNED_OUT},
    openapi_extra={"requestBody": examples.FANOUT_BODY},
)
async def predict_by_many(options: Annotated[FanoutOptions, Query()], service: Running, request: Request) -> Response:
    """Ask many tasks about the same images; what the tasks have in common is computed once.

    `tasks` may stand in the query (repeated), the form (repeated) or the JSON (a list); the body's win. `all`, or
    none, asks every task that can be served now. Otherwise as `/v1/tasks/{task}/predict`.
    """
    with ExitStack() as stack:
        first = stack.enter_context(service.metrics.prediction())
        for target in _targets(service, options.tasks):
            await service.targets.named(target)  # an unknown task is refused before its images travel
        payload = await _read(service, request, MANY_TASKS)
        tasks = await service.targets.all_served(_targets(service, payload.tasks or options.tasks))
        records = [first, *(stack.enter_context(service.metrics.prediction()) for _ in tasks[1:])]
        for record, served in zip(records, tasks, strict=False):  # one record where there is no task
            record.served = served
        answered = await while_connected(request, service.predictor.predict(tasks, payload.images))
        for record, said in zip(records, answered.said, strict=False):
            record.account(said.results)
    output = payload.output or options.output or "probabilities"
    return _json(fanout_answer(answered, output, payload.top_k or options.top_k))


async def _one(service: Service, request: Request, target: Target, options: PredictOptions) -> Response:
    with service.metrics.prediction() as record:
        record.served = await service.targets.named(target)  # an unknown task is refused before its images travel
        payload = await _read(service, request, ONE_TASK)
        record.served = served = await service.targets.served(target)
        answered = await while_connected(request, service.predictor.predict([served], payload.images))
        record.account(answered.said[0].results)
    output = payload.output or options.output or "probabilities"
    return _json(predict_answer(answered, output, payload.top_k or options.top_k))


def _targets(service: Service, names: Sequence[str]) -> list[Target]:
    if names and ALL_TASKS not in names:
        return [Target(task) for task in dict.fromkeys(names)]
    return service.targets.everything()


async def _read(service: Service, request: Request, shape: Shape) -> Payload:
    limits = FormLimits(service.settings.images_per_request, service.settings.image_bytes)
    return await read_payload(body_of(request), images=limits, offload=service.decoder.offload, shape=shape)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")
