"""The ASGI application: routes, the error table, and the limits around all of it. Wires, and decides nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from adapters_store import AdaptersStoreError
from backbone import ImageError
from service.engine import EngineError
from service.engine.errors import is_out_of_memory
from service.errors import ServiceError
from service.http import openapi
from service.http.limits import LimitsMiddleware
from service.http.origins import OriginsMiddleware, with_cors
from service.http.record import RecordMiddleware, record_of
from service.http.routes import aliases, operations, predictions, tasks, versions
from service.http.v2 import routes as v2
from service.problems import response_to
from service.service import Service

_HANDLED = (
    ServiceError,
    EngineError,
    ImageError,
    AdaptersStoreError,
    RequestValidationError,
    HTTPException,
    ClientDisconnect,
    MemoryError,
    Exception,
)
_MAYBE_SCARCE = (OSError, RuntimeError)  # by which the system and torch report a lack of memory


def create_app(service: Service) -> ASGIApp:
    """The application over `service`, which runs for as long as the application's lifespan."""
    api = FastAPI(
        title="MiMi serving",
        summary="Many vision tasks over one resident backbone.",
        version=openapi.RELEASE,
        lifespan=_lifespan,
        redirect_slashes=False,
        openapi_url=None,  # served by a route of our own, which asks for a key
        exception_handlers=dict.fromkeys(_HANDLED, _handle) | dict.fromkeys(_MAYBE_SCARCE, _handle_scarcity),
        responses=openapi.documented(400, 401, 403, 413, 421, 429, 431, 503),
    )
    api.state.service = service
    for routes in (predictions, tasks, versions, aliases, v2, operations):
        api.include_router(routes.router)
    guarded = OriginsMiddleware(with_cors(api, service.settings), settings=service.settings)
    limited = LimitsMiddleware(guarded, settings=service.settings)
    return RecordMiddleware(limited, metrics=service.metrics)


async def _handle_scarcity(request: Request, error: Exception) -> Response:
    """Answer a lack of memory; whatever else has this class is a bug, and goes on to be logged."""
    if not is_out_of_memory(error):
        raise error
    return await _handle(request, error)


async def _handle(request: Request, error: Exception) -> Response:
    """Answer any error by the one table, and note it for the metrics."""
    record_of(request.scope).error = error
    return response_to(error, request.url.path)


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    service: Service = api.state.service
    async with service.running():
        yield
