"""Corrections of predictions: an image and its right labels, for tasks that are open for them."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.access.keys import Scope
from service.errors import InvalidRequest
from service.feedback.desk import check_labels, opinions
from service.feedback.memory import Seen
from service.feedback.storage import Correction, Kept
from service.http import examples, openapi
from service.http.multipart import FormLimits, read_form
from service.http.payload import FORM, read_document
from service.http.routes.common import KeyCheck, Running, Task, body_of, while_connected
from service.prediction.answers import is_sigmoid
from service.schemas import LARGEST, Answer, TaskId
from service.service import Service
from service.tasks.table import TaskVersion
from service.tasks.targets import Target

router = APIRouter(prefix="/v1/tasks/{task}/feedback", tags=["feedback"])

may_correct = KeyCheck(Scope.FEEDBACK)
_MOST_LABELS = 64
_LABEL = "label"
_EXAMPLE = '{"request_id": "8f0c…", "labels": ["3"]}, or a form with one image and a label'

Label = Annotated[str, Field(min_length=1, max_length=256)]
Id = Annotated[int, Path(ge=1, le=LARGEST, description="of the correction", examples=[7])]


class ByRequest(BaseModel):
    """A correction of an image that a recent prediction was about."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    request_id: str = Field(pattern=r"^[A-Za-z0-9._:/+=@-]{1,128}$", description="X-Request-Id of the prediction")
    index: int = Field(default=0, ge=0, le=10_000, description="of the image in the request, from 0")
    labels: list[Label] = Field(max_length=_MOST_LABELS, description="the right ones; exactly one of exclusive classes")


class CorrectionAnswer(Answer):
    """A correction that is kept, and what the task had said about the image."""

    id: int
    task: TaskId
    labels: list[str] = Field(description="the right ones")
    version: int = Field(description="that made the prediction")
    predicted: str = Field(description="its best label")
    probability: float = Field(ge=0, le=1, description="of that label")
    unknown_score: float | None = Field(description="above 1: not known; null: the task's file does not say")
    created_at: datetime
    bytes: int = Field(description="of the image")


class CorrectionList(Answer):
    """Corrections of a task, the unknown and then the uncertain images first."""

    task: TaskId
    corrections: list[CorrectionAnswer]


class ListOptions(BaseModel):
    """Which part of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=LARGEST)


_BY_REQUEST = TypeAdapter(ByRequest)
FEEDBACK_BODY = examples.feedback_body(ByRequest)


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(may_correct)],
    responses={**openapi.documented(403, 404, 408, 409, 413, 415, 422, 504, 507), 201: examples.plain("correction")},
    openapi_extra={"requestBody": FEEDBACK_BODY},
)
async def add_feedback(task: Task, service: Running, request: Request) -> CorrectionAnswer:
    """Say what an image shows. It is kept with its right labels, until it is exported and deleted.

    The image comes in a form, with a field `label` (repeated where the task's labels are independent); or JSON names
    it by the `X-Request-Id` of a recent prediction. A label may be new to the task. A later correction of the same
    image replaces the earlier one. 409 `feedback_off`: the task is not open for corrections. 507 `feedback_full`:
    export what is there, then delete it.
    """
    service.feedback.check(task)
    named = await service.targets.named(Target(task))
    labels, seen = await _said(service, request, named)
    (loaded,) = await service.targets.ready([named])
    right = check_labels(labels, exclusive=not is_sigmoid(loaded.manifest))
    correction = Correction(task, right, seen.image, seen.opinion)
    kept = await service.feedback.run(task, lambda file: file.add(correction))
    service.metrics.corrected(task, confirmed=right == (seen.opinion.label,))
    return _answer(kept)


@router.get(
    "",
    dependencies=[Depends(may_correct)],
    responses={**openapi.documented(403, 404, 409, 422, 507), 200: examples.plain("corrections")},
)
async def list_feedback(task: Task, options: Annotated[ListOptions, Query()], service: Running) -> CorrectionList:
    """The corrections of a task without their images, the unknown and then the uncertain ones first."""
    found = await service.feedback.run(task, lambda file: file.list(task, limit=options.limit, offset=options.offset))
    return CorrectionList(task=task, corrections=list(map(_answer, found)))


@router.get(
    "/{number}/image",
    dependencies=[Depends(may_correct)],
    response_class=Response,
    responses={**openapi.documented(403, 404, 409, 422), 200: examples.IMAGE_FILE},
)
async def get_feedback_image(task: Task, number: Id, service: Running) -> Response:
    """The image of a correction, exactly as it was sent."""
    data = await service.feedback.run(task, lambda file: file.image(task, number))
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
    headers["Content-Disposition"] = "attachment"  # a browser must not show what somebody sent as a page of ours
    return Response(data, headers=headers, media_type="application/octet-stream")


@router.delete(
    "/{number}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(may_correct)],
    responses=openapi.documented(403, 404, 409, 422, 507),
)
async def delete_feedback(task: Task, number: Id, service: Running) -> None:
    """Delete a correction and its image; its bytes are overwritten."""
    await service.feedback.run(task, lambda file: file.delete(task, number))


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(may_correct)],
    responses=openapi.documented(403, 404, 409, 422, 507),
)
async def delete_all_feedback(task: Task, service: Running) -> None:
    """Delete all corrections of a task, and their images."""
    await service.feedback.run(task, lambda file: file.delete(task))


async def _said(service: Service, request: Request, named: TaskVersion) -> tuple[list[str], Seen]:
    """The right labels, and the image with what the task says about it."""
    body = body_of(request)
    if body.media_type != FORM:
        asked = await read_document(body, _BY_REQUEST, example=_EXAMPLE)
        return asked.labels, service.feedback.recall(asked.request_id, named.task, asked.index)
    limits = FormLimits(1, service.settings.image_bytes, fields=_MOST_LABELS)
    parts = await read_form(body.content_type, body.stream, limits=limits)
    images = [bytes(part.data) for part in parts if part.is_file]
    fields = [part for part in parts if not part.is_file]
    if len(images) != 1 or any(part.name != _LABEL for part in fields):
        raise InvalidRequest(f"send {_EXAMPLE}, and nothing else")
    labels = [part.data.decode("utf-8", "replace") for part in fields]
    work = service.predictor.predict(await service.targets.ready([named]), images)
    outputs = await while_connected(request, work)
    return labels, Seen(images[0], opinions(outputs.tasks[0])[0])


def _answer(kept: Kept) -> CorrectionAnswer:
    return CorrectionAnswer(
        id=kept.id,
        task=kept.task,
        labels=list(kept.labels),
        version=kept.opinion.version,
        predicted=kept.opinion.label,
        probability=kept.opinion.probability,
        unknown_score=kept.opinion.unknown_score,
        created_at=datetime.fromtimestamp(kept.created_at, UTC),
        bytes=kept.size,
    )
