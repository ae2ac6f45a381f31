"""The aliases of a task: read, moved, split, rolled back, deleted."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from service.http import examples, openapi, views
from service.http.pages import document
from service.http.payload import read_document
from service.http.routes.common import Expected, Known, Running, Task, body_of, may_manage, may_predict
from service.schemas import ALIAS_PATTERN, ALIAS_TARGET, AliasAnswer, AliasList, ToVersion
from service.tasks import splits
from service.tasks.conditions import tag
from service.tasks.table import ALIAS

router = APIRouter(prefix="/v1/tasks/{task}", tags=["aliases"])

Alias = Annotated[str, Path(pattern=ALIAS_PATTERN, description="alias; `live` answers predictions", examples=[ALIAS])]
_RolledBack = Annotated[str, Query(pattern=ALIAS_PATTERN, description="the alias to roll back", examples=[ALIAS])]
_TARGET = '{"version": 3} or {"weights": {"3": 0.9, "4": 0.1}}'


@router.get(
    "/aliases",
    dependencies=[Depends(may_predict)],
    response_model=AliasList,
    responses={**openapi.documented(404, 422), 200: examples.answer("aliases"), 304: examples.NOT_MODIFIED},
)
async def list_aliases(task: Task, service: Running, request: Request, _tag: Known = None) -> Response:
    """All aliases of a task, and where they point."""
    state = await service.reads.run(lambda: service.catalogue.task(task))
    return document(request, views.alias_list(task, state), tag=tag(state.generation))


@router.get(
    "/aliases/{alias}",
    dependencies=[Depends(may_predict)],
    response_model=AliasAnswer,
    responses={**openapi.documented(404, 422), 200: examples.answer("alias"), 304: examples.NOT_MODIFIED},
)
async def get_alias(task: Task, alias: Alias, service: Running, request: Request, _tag: Known = None) -> Response:
    """The versions that an alias points at."""
    state, split = await service.reads.run(lambda: service.catalogue.split(task, alias))
    return document(request, views.alias_answer(task, alias, split, state.generation), tag=tag(state.generation))


@router.put(
    "/aliases/{alias}",
    dependencies=[Depends(may_manage)],
    responses={**openapi.documented(403, 404, 408, 409, 412, 413, 415, 422, 507), 200: examples.answer("alias")},
    openapi_extra={"requestBody": examples.ALIAS_BODY},
)
async def put_alias(
    task: Task, alias: Alias, condition: Expected, service: Running, request: Request, response: Response
) -> AliasAnswer:
    """Point an alias at one version, or split its traffic by weight (a canary); in force when this returns.

    Every version must be servable here, and is loaded before the alias moves. Weights are in proportion to each
    other. Setting what is set already changes nothing.
    """
    target = await read_document(body_of(request), ALIAS_TARGET, example=_TARGET)
    if isinstance(target, ToVersion):
        split = splits.whole(target.version)
    else:
        split = splits.of_weights({int(version): weight for version, weight in target.weights.items()})
    generation = await service.registrar.change(lambda: service.lifecycle.move_alias(task, alias, split, condition))
    response.headers["ETag"] = tag(generation)
    return views.alias_answer(task, alias, split, generation)


@router.delete(
    "/aliases/{alias}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 412, 422, 428, 507),
)
async def delete_alias(task: Task, alias: Alias, condition: Expected, service: Running) -> Response:
    """Delete an alias. The versions stay.

    Without `live` the task answers no predictions (404, `no_live_version`) until the alias is set again. Deleting it
    therefore asks for a confirmation: `If-Match` with the task's generation, or `If-Match: *`. Without it: 428.
    """
    generation = await service.registrar.change(lambda: service.lifecycle.delete_alias(task, alias, condition))
    return Response(status_code=204, headers={"ETag": tag(generation)})


@router.post(
    "/rollback",
    dependencies=[Depends(may_manage)],
    responses={**openapi.documented(403, 404, 409, 412, 422, 507), 200: examples.answer("rollback")},
)
async def roll_back(
    task: Task, condition: Expected, service: Running, response: Response, alias: _RolledBack = ALIAS
) -> AliasAnswer:
    """Return an alias to the version or split that it had before its last move; a second rollback undoes the first.

    409 if it never pointed anywhere else, if what it pointed at is deleted, or if somebody was faster; 412 if
    `If-Match` names another generation.
    """
    split, generation = await service.registrar.change(lambda: service.lifecycle.roll_back(task, alias, condition))
    response.headers["ETag"] = tag(generation)
    return views.alias_answer(task, alias, split, generation)
