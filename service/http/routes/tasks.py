"""Tasks: listed, read, published, given another description, deleted."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.descriptions import TaskDetail
from service.errors import NoLiveVersion
from service.http import examples, openapi, views
from service.http.pages import document, link_to
from service.http.payload import Body, read_document, read_file
from service.http.routes.common import (
    Claimed,
    Expected,
    Fresh,
    Known,
    Running,
    Task,
    begin,
    body_of,
    may_manage,
    may_predict,
)
from service.metrics.counters import Kind, RequestRecord
from service.schemas import TASK_CHANGE, ListOptions, TaskList, UploadAnswer, UploadOptions
from service.service import Service
from service.tasks.catalogue import answering
from service.tasks.conditions import tag
from service.tasks.uploads import Upload, Uploaded, check_beginning

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.get(
    "",
    dependencies=[Depends(may_predict)],
    response_model=TaskList,
    responses={200: examples.listing("tasks"), 304: examples.NOT_MODIFIED},
)
async def list_tasks(
    options: Annotated[ListOptions, Query()], service: Running, request: Request, _tag: Known = None
) -> Response:
    """The published tasks by name, a page at a time; those that cannot be served say why.

    `next` leads to the next page, as does the Link header. A task that is there all the while is listed exactly once,
    whatever comes and goes meanwhile.
    """
    answer = views.listing(service.registry.table, service.engine.backbone, options)
    return document(request, answer, headers=link_to(request, answer.next))


@router.get(
    "/{task}",
    dependencies=[Depends(may_predict)],
    response_model=TaskDetail,
    responses={**openapi.documented(404, 422), 200: examples.answer("task"), 304: examples.NOT_MODIFIED},
)
async def get_task(task: Task, service: Running, request: Request, _tag: Known = None) -> Response:
    """A task: what it is for, what it costs, how it was made, its aliases and versions.

    The ETag is the task's generation, for If-Match; it is read from the store, not from what this server has loaded.
    While this server does not answer with that generation, the ETag says so behind a hyphen.
    """
    detail = await service.reads.run(lambda: _detail(service, task))
    return document(request, detail, tag=_tag_of(detail))


def _tag_of(detail: TaskDetail) -> str:
    """The same generation has another document on a server that lags behind, or cannot answer."""
    if detail.ready and detail.served_generation == detail.generation:
        return tag(detail.generation)
    return tag(detail.generation, detail.ready, detail.reason, detail.served_generation)


def _detail(service: Service, task: str) -> TaskDetail:
    state = service.catalogue.task(task)
    info = answering(state)
    if info is None:
        raise NoLiveVersion("the task has no version")
    return views.task_detail(task, state, service.catalogue.describe(info), service.registry.table.get(task))


@router.put(
    "/{task}",
    dependencies=[Depends(may_manage)],
    response_model=UploadAnswer,
    responses={
        **openapi.documented(403, 408, 409, 412, 415, 422, 507),
        200: examples.answer("upload_known"),
        201: {"model": UploadAnswer, **examples.answer("upload")},
    },
    openapi_extra={"requestBody": openapi.UPLOAD_BODY},
)
async def put_task(
    task: Task,
    options: Annotated[UploadOptions, Query()],
    condition: Fresh,
    checksums: Claimed,
    service: Running,
    request: Request,
) -> Response:
    """Publish a task adapter file (safetensors): checked completely, then live at once, without a lost request.

    201: a new version. 200: the task had these bytes already, and that version is live again; or a dry run. A refused
    file leaves no trace, and the problem names the check that failed. `If-Match` with the task's generation makes the
    upload a compare-and-swap; `If-None-Match: *` publishes only what does not exist. A SHA-256 in `Repr-Digest`,
    `Content-Digest` or `Digest` is checked. `warnings` say what is worse or different than in the live version, such as
    its accuracy or its labels; `strict=true` refuses the file then.
    """
    record = begin(request, service, Kind.UPLOAD)
    body = Body(request.headers.get("content-type", ""), checksums.watch(request.stream()))
    most = service.settings.adapter_bytes
    data = await read_file(body, most_bytes=most, check_beginning=lambda first: check_beginning(first, most))
    upload = Upload(task, data, condition, checksums, **options.model_dump())
    done = await service.registrar.change(lambda: service.uploader.upload(upload))
    return uploaded(task, options, done, record)


def uploaded(task: str, options: UploadOptions, done: Uploaded, record: RequestRecord) -> Response:
    """The answer to an upload, or to another way of making a version; notes in the record what it came to."""
    record.outcome = "dry_run" if options.dry_run else "published" if done.created else "known"
    return Response(
        views.upload(task, options, done).model_dump_json(),
        201 if done.created and not options.dry_run else 200,
        {"Location": f"/v1/tasks/{task}", "ETag": tag(done.generation)},
        media_type="application/json",
    )


@router.patch(
    "/{task}",
    dependencies=[Depends(may_manage)],
    response_model=TaskDetail,
    responses={**openapi.documented(403, 404, 408, 412, 413, 415, 422, 507), 200: examples.answer("task")},
    openapi_extra={"requestBody": examples.CHANGE_BODY},
)
async def patch_task(task: Task, condition: Expected, service: Running, request: Request) -> Response:
    """Give a task a description that replaces the one in its file; the versions stay as they are."""
    change = await read_document(body_of(request), TASK_CHANGE, example='{"description": "…"}')
    await service.registrar.change(lambda: service.lifecycle.describe(task, change.description, condition))
    detail = await service.reads.run(lambda: _detail(service, task))
    return document(request, detail, tag=_tag_of(detail))


@router.delete(
    "/{task}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 412, 422, 507),
)
async def delete_task(task: Task, condition: Expected, service: Running) -> None:
    """Delete a task with all its versions; requests under way are still answered."""
    await service.registrar.change(lambda: service.lifecycle.delete_task(task, condition))
