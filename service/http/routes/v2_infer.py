"""The Open Inference Protocol: inference, with JSON tensors or binary ones."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from service.http import openapi
from service.http.payload import Body, read_file
from service.http.routes.common import Running, Task, body_of, may_predict, while_connected
from service.http.routes.versions import Number
from service.http.v2 import docs
from service.http.v2.answers import render
from service.http.v2.framing import HEADER, take_apart
from service.http.v2.questions import Frame, ask
from service.http.v2.schemas import InferenceResponse
from service.service import Service
from service.tasks.targets import Target

router = APIRouter(prefix="/v2/models", dependencies=[Depends(may_predict)], tags=["open inference protocol"])

_Length = Annotated[
    str | None,
    Header(alias=HEADER, description="bytes of JSON before binary tensors; 0: the body is one encoded image"),
]
_DOCUMENTED: dict[str, Any] = {
    "response_model": InferenceResponse,
    "responses": {**openapi.documented(404, 408, 415, 422, 504), 200: docs.INFERRED},
    "openapi_extra": {"requestBody": docs.INFER_BODY},
}


@router.post("/{task}/infer", **_DOCUMENTED)
async def infer(task: Task, service: Running, request: Request, length: _Length = None) -> Response:
    """Ask a task about images.

    The input is `image`, BYTES [N] of JPEG, PNG or WebP files (in JSON as base64), or UINT8 [N, H, W, 3]; or `pixels`,
    FP32 [N, 3, H, W], normalised already. Outputs are `logits`, `probabilities` and `features`, all of them unless
    some are named; with the parameter `classification` the best so many as "value:index:label". `timeout`
    (microseconds) and `priority` (1 is the highest) are honoured, `id` is given back.
    """
    return await _infer(service, request, Target(task), length)


@router.post("/{task}/versions/{version}/infer", **_DOCUMENTED)
async def infer_version(
    task: Task, version: Number, service: Running, request: Request, length: _Length = None
) -> Response:
    """As `/v2/models/{task}/infer`, by one version."""
    return await _infer(service, request, Target(task, version=version), length)


async def _infer(service: Service, request: Request, target: Target, length: str | None) -> Response:
    settings = service.settings
    frame = Frame(settings.images_per_request, service.engine.backbone.preprocessing.size)
    with service.metrics.prediction() as record:
        record.served = await service.targets.named(target)  # an unknown task is refused before its images travel
        body = await read_file(Body("", body_of(request).stream), most_bytes=settings.body_bytes)
        question = await service.decoder.offload(lambda: ask(take_apart(body, length), frame))
        record.served = served = await service.targets.served(target)
        work = service.predictor.predict(
            [served], question.images, seconds=question.seconds, priority=question.priority
        )
        answered = await while_connected(request, work)
        record.account(answered.said[0].results)
    rendered = render(answered, question)
    if rendered.header is None:
        return Response(rendered.body, media_type="application/json")
    return Response(rendered.body, headers={HEADER: str(rendered.header)}, media_type="application/octet-stream")
