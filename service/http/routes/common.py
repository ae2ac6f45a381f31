"""What endpoints share: the running service, keys, the body as it arrives, and noticing a client that gave up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from adapters_store.strict_json import shown
from service.access.keys import Scope
from service.errors import ClientGone
from service.http.payload import Body
from service.schemas import TASK_PATTERN
from service.service import Service

T = TypeVar("T")

logger = logging.getLogger(__name__)

Task = Annotated[str, Path(pattern=TASK_PATTERN, description="task id", examples=["digits"])]
_bearer = HTTPBearer(auto_error=False, description="a key, where the server has keys")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


async def running_service(request: Request) -> Service:  # async: FastAPI would send it to a thread otherwise
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(running_service)]


async def may_predict(service: Running, credentials: _Credentials) -> AsyncIterator[None]:
    """Dependency: the request may read and predict, and counts as its key's until it is answered."""
    with service.keyring.admitted(_token(credentials), Scope.PREDICT):
        yield


async def may_manage(service: Running, credentials: _Credentials, request: Request) -> AsyncIterator[None]:
    """Dependency: the request may change what is published. The log says whose key it was."""
    with service.keyring.admitted(_token(credentials), Scope.MANAGE) as key:
        logger.info("%s %s by %s", request.method, shown(request.url.path), key.name if key else "anyone: no keys")
        yield


async def may_read_metrics(service: Running, credentials: _Credentials) -> AsyncIterator[None]:
    """Dependency: the request may read metrics."""
    with service.keyring.admitted(_token(credentials), Scope.METRICS):
        yield


async def bearer_of(request: Request) -> str | None:
    """The key that a request brings, read as the dependencies read it."""
    return _token(await _bearer(request))


def _token(credentials: HTTPAuthorizationCredentials | None) -> str | None:
    return credentials.credentials if credentials else None


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
