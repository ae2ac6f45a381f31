"""A class added to a task from its images alone: a new version, without the old images and without training."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from service.engine import LOWEST_PRIORITY
from service.errors import InvalidRequest
from service.http import examples, openapi
from service.http.multipart import FormLimits, read_form
from service.http.payload import FORM
from service.http.routes.common import Expected, Running, Task, begin, body_of, may_manage, while_connected
from service.http.routes.tasks import uploaded
from service.metrics.counters import Kind, RequestRecord
from service.schemas import UploadAnswer, UploadOptions
from service.service import Service
from service.tasks.classes import NewClass
from service.tasks.table import LoadedVersion
from service.tasks.targets import Target

router = APIRouter(prefix="/v1/tasks/{task}", tags=["tasks"])

_LABEL = "label"
_DOCUMENTED: dict[str, Any] = {
    "response_model": UploadAnswer,
    "responses": {
        **openapi.documented(403, 404, 408, 409, 412, 413, 415, 422, 504, 507),
        200: examples.answer("upload_known"),
        201: {"model": UploadAnswer, **examples.answer("upload")},
    },
    "openapi_extra": {"requestBody": examples.CLASS_BODY},
}


class ClassOptions(UploadOptions):
    """Options of a class that is added, as query parameters."""

    label: str | None = Field(
        default=None, min_length=1, max_length=256, description="of the class, if the form does not say it"
    )


@router.post("/classes", dependencies=[Depends(may_manage)], **_DOCUMENTED)
async def add_class(
    task: Task, options: Annotated[ClassOptions, Query()], condition: Expected, service: Running, request: Request
) -> Response:
    """Add a class to the version that answers, and publish the result as the next version.

    The body is a form with the images of the class; its `label` stands in the form or in the query. The head is
    computed again in closed form, from the statistics in the file and the new images: no old image is needed, and the
    adapters stay as they are. 409 `no_statistics`: the file has none; the problem says how to add them. Thresholds
    and figures of validation were measured with the old head, so the new file has none.
    """
    record = begin(request, service, Kind.UPLOAD)
    base = await service.reads.run(lambda: service.classes.base(task))  # refused before its images travel
    label, images = await _read(service, request, options.label)
    (loaded,) = await service.targets.ready([await service.targets.named(Target(task, version=base.info.version))])
    features = await while_connected(request, _features(service, loaded, images, record))
    terms = options.model_dump(exclude={"label"})
    new = NewClass(label, features, condition, **terms)
    done = await service.registrar.change(lambda: service.classes.add(base, loaded.resident, new))
    return uploaded(task, options, done, record)


async def _features(service: Service, loaded: LoadedVersion, images: list[bytes], record: RequestRecord) -> np.ndarray:
    """Features (n, F), a few images at a time, behind everything else that waits."""
    found: list[np.ndarray] = []
    step = service.settings.images_per_request
    for start in range(0, len(images), step):
        outputs = await service.predictor.predict(
            [loaded], images[start : start + step], priority=LOWEST_PRIORITY, client=record.client
        )
        found += [result.features for result in outputs.tasks[0].results]
    return np.stack(found)


async def _read(service: Service, request: Request, label: str | None) -> tuple[str, list[bytes]]:
    """The label and the images of a form."""
    body = body_of(request)
    if body.media_type != FORM:
        raise InvalidRequest("send a form with the images of the class as files, and its label as a field")
    limits = FormLimits(service.settings.class_images, service.settings.image_bytes, fields=1)
    parts = await read_form(body.content_type, body.stream, limits=limits)
    images = [bytes(part.data) for part in parts if part.is_file]
    fields = [part for part in parts if not part.is_file]
    if any(part.name != _LABEL for part in fields):
        raise InvalidRequest("the only form field beside images is label")
    found = fields[0].data.decode("utf-8", "replace") if fields else label
    if not found or not images:
        raise InvalidRequest("send a form with the images of the class as files, and its label as a field")
    return found, images
