"""The model repository extension: what is served here; serving a task here no more, and again.

Unloading is this replica's own affair: the store and other replicas do not hear of it. It lasts, whatever is
published meanwhile, until the task is loaded again or the process ends.

Source: Triton, docs/protocol/extension_model_repository.md.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, TypeAdapter

from service.errors import InvalidInference, TaskUnavailable
from service.http import openapi
from service.http.payload import Body, read_document
from service.http.routes.common import Running, Task, may_manage, may_predict
from service.http.v2 import docs, metadata
from service.http.v2.schemas import RepositoryModel
from service.http.v2.shapes import Parameters, Strict

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"])


class Index(Strict):
    """What to list."""

    ready: bool = False


class Change(Strict):
    """How to load or unload; nothing can be chosen."""

    parameters: Annotated[Parameters | None, Field(max_length=8)] = None


_INDEX, _CHANGE = TypeAdapter(Index), TypeAdapter(Change)


@router.post(
    "/index",
    dependencies=[Depends(may_predict)],
    responses={**openapi.documented(408, 422), 200: docs.example("index")},
    response_model_exclude_none=True,
    openapi_extra={"requestBody": docs.body(Index, {"ready": True})},
)
async def index(service: Running, request: Request) -> list[RepositoryModel]:
    """Every version that is served here, and every task that cannot be; with `ready` only the former."""
    asked = await read_document(await _body(request), _INDEX, example='{"ready": true}')
    return metadata.index(service.table, only_ready=asked.ready)


@router.post(
    "/models/{task}/load",
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 408, 409, 422),
    openapi_extra={"requestBody": docs.body(Change, {})},
    response_class=Response,
)
async def load(task: Task, service: Running, request: Request) -> None:
    """Serve a task here (again), as the store has it now. Files are published with PUT /v1/tasks/{task}."""
    asked = await read_document(await _body(request), _CHANGE, example="{}")
    if asked.parameters:
        raise InvalidInference("load takes no parameters: publish files with PUT /v1/tasks/{task}")
    await service.registrar.change(lambda: service.registry.resume(task))
    entry = service.table[task]
    if entry.reason is not None:
        raise TaskUnavailable(f"this task cannot be served here: {entry.reason}")


@router.post(
    "/models/{task}/unload",
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 408, 422),
    openapi_extra={"requestBody": docs.body(Change, {"parameters": {"unload_dependents": False}})},
    response_class=Response,
)
async def unload(task: Task, service: Running, request: Request) -> None:
    """Serve a task here no more, and let go of its weights, until it is loaded again."""
    await read_document(await _body(request), _CHANGE, example="{}")
    await service.registrar.change(lambda: service.registry.suspend(task))


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
