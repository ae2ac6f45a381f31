"""The versions of a task: listed, described, downloaded, deleted."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BeforeValidator, Field

from adapters_store import VersionInfo
from service.descriptions import VersionDetail
from service.http import examples, openapi, views
from service.http.pages import document, link_to
from service.http.routes.common import Expected, Known, Running, Task, may_manage, may_predict
from service.inputs.checksums import repr_digest
from service.schemas import LARGEST, ListOptions, VersionList
from service.service import Service
from service.tasks.conditions import fresh, tag

router = APIRouter(prefix="/v1/tasks/{task}/versions", tags=["versions"])


def _plain(text: str) -> str:
    """Refuse signs, spaces and underscores, which pydantic accepts in a number."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("a version is a decimal number")
    return text


Number = Annotated[
    int,
    Field(ge=1, le=LARGEST),  # before the validator: behind it, the document would not have the bounds as such
    BeforeValidator(_plain),
    Path(description="version number", examples=[3]),
]
_FILE = "application/octet-stream"


async def _download_slot(service: Running) -> AsyncIterator[None]:
    """Dependency: limits concurrent downloads, because each holds its file in memory until it has been sent."""
    with service.downloads.one():
        yield


@router.get(
    "",
    dependencies=[Depends(may_predict)],
    response_model=VersionList,
    responses={**openapi.documented(404, 422), 200: examples.listing("versions"), 304: examples.NOT_MODIFIED},
)
async def list_versions(
    task: Task,
    options: Annotated[ListOptions, Query()],
    service: Running,
    request: Request,
    _tag: Known = None,
) -> Response:
    """The versions of a task, newest first, a page at a time, with the aliases that point at them."""
    state = await service.reads.run(lambda: service.catalogue.task(task))
    answer = views.version_list(task, state, options)
    return document(request, answer, tag=tag(state.generation), headers=link_to(request, answer.next))


@router.get(
    "/{version}",
    dependencies=[Depends(may_predict)],
    response_model=VersionDetail,
    responses={**openapi.documented(404, 422), 200: examples.answer("version"), 304: examples.NOT_MODIFIED},
)
async def get_version(task: Task, version: Number, service: Running, request: Request, _tag: Known = None) -> Response:
    """One version: labels, widths of all sites, cost, provenance, and how its answers are read.

    If its file has them, there are figures of the validation images for each label, and the confusion matrix.
    """
    detail = await service.reads.run(lambda: _detail(service, task, version))
    return document(request, detail, tag=tag(detail.generation))


def _detail(service: Service, task: str, version: int) -> VersionDetail:
    state, info = service.catalogue.version(task, version)
    return views.version_detail(task, state, service.catalogue.describe(info))


@router.get(
    "/{version}/file",
    dependencies=[Depends(may_manage), Depends(_download_slot)],
    response_class=Response,
    responses={**openapi.documented(403, 404, 422), 304: examples.NOT_MODIFIED, 200: examples.ADAPTER_FILE},
)
async def get_file(task: Task, version: Number, service: Running, request: Request, _tag: Known = None) -> Response:
    """Download the task adapter file of a version: exactly the bytes that were published, checked again.

    The ETag is their SHA-256 and never changes.
    """
    info = await service.reads.run(lambda: service.catalogue.version(task, version)[1])
    if _has_it(request, info):
        return Response(status_code=304, headers=_headers(info))
    data = await service.reads.run(lambda: service.catalogue.data(info))
    return Response(data, headers=_headers(info), media_type=_FILE)


@router.head(
    "/{version}/file",
    dependencies=[Depends(may_manage)],
    response_class=Response,
    responses={**openapi.documented(403, 404, 422), 304: examples.NOT_MODIFIED, 200: examples.ADAPTER_FILE},
)
async def head_file(task: Task, version: Number, service: Running, request: Request, _tag: Known = None) -> Response:
    """The headers of a download: size, ETag and SHA-256."""
    info = await service.reads.run(lambda: service.catalogue.version(task, version)[1])
    if _has_it(request, info):
        return Response(status_code=304, headers=_headers(info))
    return Response(headers={**_headers(info), "Content-Length": str(info.size)}, media_type=_FILE)


def _has_it(request: Request, info: VersionInfo) -> bool:
    return fresh(request.headers.getlist("if-none-match"), f'"{info.sha256}"')


def _headers(info: VersionInfo) -> dict[str, str]:
    return {
        "ETag": f'"{info.sha256}"',
        "Repr-Digest": repr_digest(info.sha256),
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{info.sha256}.safetensors"',
        "X-Content-Type-Options": "nosniff",
    }


@router.delete(
    "/{version}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 409, 412, 422, 507),
)
async def delete_version(task: Task, version: Number, condition: Expected, service: Running) -> Response:
    """Delete a version; 409 while an alias points at it. Its number is never used again."""
    generation = await service.registrar.change(lambda: service.lifecycle.delete_version(task, version, condition))
    return Response(status_code=204, headers={"ETag": tag(generation)})
