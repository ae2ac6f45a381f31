"""Builds the ASGI application from routes, the error table and the limits around them. It decides nothing itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from adapters_store import AdaptersStoreError
from backbone import ImageError
from service.engine import EngineError
from service.engine.errors import is_out_of_memory
from service.errors import ServiceError, Unauthorized
from service.http import openapi
from service.http.compression import CompressionMiddleware
from service.http.limits import LimitsMiddleware
from service.http.methods import MethodsMiddleware, allowed
from service.http.origins import OriginsMiddleware, Preflights, SharedAnswers, TargetMiddleware, sender_of, with_cors
from service.http.record import RecordMiddleware, record_of
from service.http.routes import aliases, classes, feedback, operations, predictions, tasks, versions
from service.http.routes.common import only_declared
from service.http.routes.console import console_routes
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
        generate_unique_id_function=openapi.operation_id,
        openapi_url=None,  # served by a route of our own, which asks for a key
        exception_handlers={**dict.fromkeys(_HANDLED, _handle), **dict.fromkeys(_MAYBE_SCARCE, _handle_scarcity)},
        responses=openapi.documented(400, 401, 403, 413, 421, 422, 429, 431, 503),
    )
    api.state.service, api.state.declared = service, {}
    for routes in (predictions, tasks, classes, feedback, versions, aliases, v2, operations):
        api.include_router(routes.router, dependencies=[Depends(only_declared)])
    if service.settings.console == "on":
        api.include_router(console_routes())
    settings, direct = service.settings, predictions.DirectPredictions(api)
    inner = MethodsMiddleware(CompressionMiddleware(direct), api=api)
    guarded = OriginsMiddleware(with_cors(Preflights, inner, settings), settings=settings, also=_check_key(service))
    limited = with_cors(SharedAnswers, LimitsMiddleware(guarded, settings=settings, budget=service.held), settings)
    return RecordMiddleware(
        TargetMiddleware(limited),
        metrics=service.metrics,
        tracer=service.tracer,
        stopping=lambda: service.readiness.stopping,
        generation=lambda: service.registry.generation,
    )


def _check_key(service: Service) -> Callable[[Scope], None]:
    """Refuses further wrong keys from where many came."""
    return lambda scope: service.wrong_keys.check(*sender_of(scope))


async def _handle_scarcity(request: Request, error: Exception) -> Response:
    """Answer a lack of memory. Any other error of this class is a bug, which is raised again and logged."""
    if not is_out_of_memory(error):
        raise error
    return await _handle(request, error)


async def _handle(request: Request, error: Exception) -> Response:
    """Answer an error by the table of problems.py, and note it for the metrics."""
    record_of(request.scope).error = error
    if isinstance(error, Unauthorized):
        request.app.state.service.wrong_keys.note(*sender_of(request.scope))
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": ", ".join(allowed(request.app, request.scope))}
    return response_to(error, request.url.path)


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    service: Service = api.state.service
    async with service.running():
        yield
