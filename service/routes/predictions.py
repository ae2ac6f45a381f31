"""POST /v1/tasks/{task}/predict."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service import openapi
from service.multipart import FormLimits
from service.payload import Payload, read_payload
from service.routes.common import Running, Task, body_of, may_predict, while_connected
from service.schemas import PredictAnswer, PredictOptions
from service.service import Service

router = APIRouter(dependencies=[Depends(may_predict)], tags=["predict"])


@router.post(
    "/v1/tasks/{task}/predict",
    response_model=PredictAnswer,
    responses=openapi.documented(404, 408, 415, 422, 504),
    openapi_extra={"requestBody": openapi.PREDICT_BODY},
)
async def predict(
    task: Task, options: Annotated[PredictOptions, Query()], service: Running, request: Request
) -> Response:
    """Name what one or more images show, in the words of the task.

    The body is one raw image (JPEG, PNG or WebP, judged by its bytes), a multipart form with images as files, or
    JSON with base64 images. `top_k` may stand in the query, the form or the JSON; the body's wins.
    """
    with service.metrics.prediction() as record:
        record.served = service.registry.resolve(task)  # an unknown task is refused before its images travel
        payload = await _read(service, request, options)
        answer = await while_connected(request, service.predictor.predict(task, payload, record))
    return Response(answer.model_dump_json(), media_type="application/json")


async def _read(service: Service, request: Request, options: PredictOptions) -> Payload:
    limits = FormLimits(service.settings.images_per_request, service.settings.image_bytes)
    payload = await read_payload(body_of(request), images=limits, offload=service.decoder.offload)
    return Payload(payload.images, payload.top_k or options.top_k)
