"""The short way for a plain prediction: same answers, same refusals, and two thirds of the event loop's work.

FastAPI works out a route's parameters anew for every request, which for the one route that matters is much of what
it costs. A request that is plain by its path and its query skips that; any other takes the long way, which alone knows
how to refuse.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.access.keys import Scope
from service.http.routes.common import bearer_of, running_service
from service.schemas import TASK_PATTERN, PredictOptions
from service.service import Service

_TASK = re.compile(TASK_PATTERN)
_LONGEST_QUERY = 64  # bytes: what is longer is not plain

Endpoint = Callable[[str, PredictOptions, Service, Request], Awaitable[Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PlainRoute(APIRoute):
    """A route of an `Endpoint` that is documented and refuses as FastAPI has it, and answers without its detours."""

    def get_route_handler(self) -> Handler:
        """What FastAPI calls for each request."""
        long_way, endpoint = super().get_route_handler(), self.endpoint

        async def handle(request: Request) -> Response:
            task, options = request.path_params["task"], plain_options(request.scope["query_string"])
            if options is None or not _TASK.fullmatch(task):
                return await long_way(request)
            return await _answer(endpoint, task, options, request)

        return handle


async def _answer(endpoint: Endpoint, task: str, options: PredictOptions, request: Request) -> Response:
    service = await running_service(request)
    with service.keyring.admitted(await bearer_of(request), Scope.PREDICT):
        return await endpoint(task, options, service, request)


def plain_options(query: bytes) -> PredictOptions | None:
    """The options of a query string that nobody can read in two ways; None where the long way shall read it."""
    return _options(query) if len(query) <= _LONGEST_QUERY else None


@lru_cache(maxsize=64)
def _options(query: bytes) -> PredictOptions | None:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query))
        return PredictOptions.model_validate(dict(pairs)) if len(dict(pairs)) == len(pairs) else None
    except ValueError:  # pydantic's is one as well
        return None
