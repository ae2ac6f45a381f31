"""GET, PUT and DELETE of tasks."""

from fastapi import APIRouter, Depends, Request, Response

from service import openapi, views
from service.payload import read_file
from service.routes.common import Running, Task, body_of, may_manage, may_predict
from service.schemas import TaskDetail, TaskList, UploadAnswer

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.get("", dependencies=[Depends(may_predict)])
async def list_tasks(service: Running) -> TaskList:
    """All published tasks; those that cannot be served say why."""
    return views.listing(service.table, service.engine.backbone)


@router.get("/{task}", dependencies=[Depends(may_predict)], responses=openapi.documented(404, 422))
async def get_task(task: Task, service: Running) -> TaskDetail:
    """The live version of a task: labels, widths, cost, and how it was made."""
    return views.detail(service.registry.resolve(task))


@router.put(
    "/{task}",
    dependencies=[Depends(may_manage)],
    response_model=UploadAnswer,
    responses={**openapi.documented(403, 408, 409, 415, 422, 507), 201: {"model": UploadAnswer}},
    openapi_extra={"requestBody": openapi.UPLOAD_BODY},
)
async def put_task(task: Task, service: Running, request: Request) -> Response:
    """Publish a task adapter file (safetensors): checked completely, then live at once, without a lost request.

    201: a new version. 200: the task had these bytes already; that version is live again.
    """
    data = await read_file(body_of(request), most_bytes=service.settings.adapter_bytes)
    uploaded = await service.registrar.upload(task, data)
    answer = views.upload(task, uploaded)
    return Response(
        answer.model_dump_json(),
        201 if uploaded.created else 200,
        {"Location": f"/v1/tasks/{task}"},
        media_type="application/json",
    )


@router.delete(
    "/{task}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(may_manage)],
    responses=openapi.documented(403, 404, 422, 507),
)
async def delete_task(task: Task, service: Running) -> None:
    """Delete a task with all its versions; requests under way are still answered."""
    await service.registrar.delete(task)
