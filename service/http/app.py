"""The ASGI application: routes, the error table, and the limits around all of it. Wires, and decides nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from adapters_store import AdaptersStoreError
from backbone import ImageError
from service import problems
from service.engine import EngineError
from service.errors import ServiceError
from service.http import openapi
from service.http.limits import LimitsMiddleware
from service.http.origins import OriginsMiddleware, with_cors
from service.http.request_id import RequestIdMiddleware
from service.http.routes import aliases, operations, predictions, tasks, v2_infer, v2_models, v2_repository, versions
from service.service import Service

_HANDLED = (
    ServiceError,
    EngineError,
    ImageError,
    AdaptersStoreError,
    RequestValidationError,
    HTTPException,
    ClientDisconnect,
    Exception,
)


def create_app(service: Service) -> ASGIApp:
    """The application over `service`, which runs for as long as the application's lifespan."""
    api = FastAPI(
        title="MiMi serving",
        summary="Many vision tasks over one resident backbone.",
        version=openapi.release(),
        lifespan=_lifespan,
        redirect_slashes=False,
        openapi_url=None,  # served by a route of our own, which asks for a key
        exception_handlers=dict.fromkeys(_HANDLED, problems.handle),
        responses=openapi.documented(400, 401, 403, 413, 421, 429, 431, 503),
    )
    api.state.service = service
    for routes in (predictions, tasks, versions, aliases, v2_models, v2_infer, v2_repository, operations):
        api.include_router(routes.router)
    settings, refused = service.settings, service.metrics.rejected
    guarded = OriginsMiddleware(with_cors(api, settings), settings=settings, on_refused=refused)
    limited = LimitsMiddleware(guarded, settings=settings, on_refused=refused)
    return RequestIdMiddleware(limited)


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    service: Service = api.state.service
    async with service.running():
        yield
