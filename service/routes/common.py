"""What endpoints share: the running service, keys, the body as it arrives, and noticing a client that gave up."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from service.access import Scope
from service.errors import ClientGone
from service.payload import Body
from service.schemas import TASK_PATTERN
from service.service import Service

T = TypeVar("T")

Task = Annotated[str, Path(pattern=TASK_PATTERN, description="task id", examples=["digits"])]
_bearer = HTTPBearer(auto_error=False, description="predict or manage key, where the server has keys")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


async def running_service(request: Request) -> Service:  # async: FastAPI would send it to a thread otherwise
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(running_service)]


async def may_predict(service: Running, credentials: _Credentials) -> None:
    """Dependency: the request may read and predict."""
    _check(service, credentials, Scope.PREDICT)


async def may_manage(service: Running, credentials: _Credentials) -> None:
    """Dependency: the request may upload and delete."""
    _check(service, credentials, Scope.MANAGE)


def _check(service: Service, credentials: HTTPAuthorizationCredentials | None, scope: Scope) -> None:
    if service.keys is not None:
        service.keys.check(credentials.credentials if credentials else None, scope)


def body_of(request: Request) -> Body:
    """The request's body, still arriving."""
    return Body(request.headers.get("content-type", ""), request.stream())


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of `work`, which is cancelled when the client closes the connection.

    Raises:
        ClientGone: nobody waits for the result any more.
    """
    task = asyncio.ensure_future(work)
    async with _watching(request) as gone:
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if gone.done() and not task.done():
            with suppress(asyncio.CancelledError):
                await task
            raise ClientGone("the client closed the connection")
        return await task


@asynccontextmanager
async def _watching(request: Request) -> AsyncIterator["asyncio.Future[None]"]:
    """A future that is done when the connection is closed."""
    watcher = asyncio.ensure_future(_disconnected(request))
    try:
        yield watcher
    finally:
        watcher.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
