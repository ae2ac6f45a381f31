"""Shared by the endpoints: the running service, key checks, bodies, headers, and a watch for clients that leave."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar, get_origin

from fastapi import Depends, Header, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from adapters_store.strict_json import shown
from service.access.keys import Scope, bearer
from service.errors import ClientGone, InvalidRequest
from service.http.payload import Body
from service.http.record import record_of
from service.inputs import checksums
from service.inputs.checksums import Checksums
from service.metrics.counters import Kind, RequestRecord
from service.schemas import TASK_PATTERN
from service.service import Service
from service.tasks import conditions
from service.tasks.conditions import Condition

T = TypeVar("T")

logger = logging.getLogger(__name__)

_UNWATCHED_SECONDS = 0.05  # most answers are there by then; to watch a connection takes a task of its own

Task = Annotated[str, Path(pattern=TASK_PATTERN, description="task id", examples=["digits"])]


class KeyCheck(SecurityBase):
    """The one place that checks a key: a dependency for routes, and a context for the route that avoids dependencies.

    While the context is open, the request counts for its key's limits. Changes are logged with the name of the key.
    """

    scheme_name = "key"

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.model = HTTPBearerModel(description="Authorization: Bearer, and one of the server's keys")

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        """FastAPI's dependency."""
        with self.admitted(request):
            yield

    @contextmanager
    def admitted(self, request: Request) -> Iterator[None]:
        """Let a request in by its bearer token.

        Raises:
            Unauthorized, Forbidden, QuotaExceeded: see errors.py.
        """
        presented = bearer(request.headers.get("authorization"))
        with service_of(request).keyring.admitted(presented, self._scope) as key:
            record = record_of(request.scope)
            record.admitted = key is not None
            record.client = key.name if key else request.client.host if request.client else None
            if self._scope is Scope.MANAGE:
                name = key.name if key else "anyone: no keys"
                logger.info("%s %s by %s", request.method, shown(request.url.path), name)
            yield


may_predict, may_manage, may_read_metrics = KeyCheck(Scope.PREDICT), KeyCheck(Scope.MANAGE), KeyCheck(Scope.METRICS)


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


async def _running_service(request: Request) -> Service:  # async: FastAPI would run it in a thread otherwise
    return service_of(request)


Running = Annotated[Service, Depends(_running_service)]


async def only_declared(request: Request) -> None:
    """Refuse a query parameter that the route does not declare, or one that is given twice; the same for every route.

    Raises:
        InvalidRequest: there is one. Its name may be the client's own text, and is not repeated.
    """
    if not request.scope["query_string"]:
        return
    route, known = request.scope["route"], request.app.state.declared
    if id(route) not in known:  # routes live as long as the application, and have no hash
        known[id(route)] = dict(_declared(route.dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    if not given.keys() <= known[id(route)].keys():
        raise InvalidRequest("query: there is a parameter that this route does not take")
    if any(count > 1 and not known[id(route)][name] for name, count in given.items()):
        raise InvalidRequest("query: a parameter is given twice")


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The query parameters of a route and its dependencies, each with whether it is a list.

    A model stands for its fields.
    """
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from ((info.alias or name, _is_list(info)) for name, info in model.model_fields.items())
        else:
            yield field.alias, _is_list(field.field_info)
    for each in dependant.dependencies:
        yield from _declared(each)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list


def begin(request: Request, service: Service, kind: Kind) -> RequestRecord:
    """The record of a request, which is of this kind from now on."""
    record = record_of(request.scope)
    service.metrics.begun(record, kind)
    return record


def body_of(request: Request) -> Body:
    """The request's body, which may still arrive."""
    return Body(request.headers.get("content-type", ""), request.stream())


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of `work`, which is cancelled when the client closes the connection.

    Raises:
        ClientGone: nobody waits for the result any more.
    """
    watch = _Watch(request)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.ended_work():
            raise ClientGone("the client closed the connection") from None
        raise
    finally:
        watch.close()


class _Watch:
    """Cancels the current task when the client closes the connection; works as `asyncio.timeout` does.

    Our own protocol tells at once that its connection is lost. Another one is asked after a while.
    """

    def __init__(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None, "routes run in tasks"
        self._request, self._task = request, task
        self._cancelled = self._closed = False
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_UNWATCHED_SECONDS, self._begin)
        self._connection = request.scope.get("state", {}).get("connection")
        if self._connection is not None:
            self._connection.on_lost = self._gone

    def ended_work(self) -> bool:
        """Whether this watch has cancelled the task, and nobody else has."""
        return self._cancelled and self._task.uncancel() == 0

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._timer.cancel()
        if self._connection is not None:
            self._connection.on_lost = None
        if self._watcher is not None:
            self._watcher.cancel()

    def _begin(self) -> None:
        self._watcher = asyncio.ensure_future(_disconnected(self._request))
        self._watcher.add_done_callback(lambda _: self._gone())

    def _gone(self) -> None:
        if not (self._closed or self._cancelled):
            self._cancelled = True
            self._task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


_IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="the generation of the task as last seen, in quotes: 412 if it has moved since; *: it must exist",
        examples=['"17"'],
    ),
]
_IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="*: 412 if there is such a task", examples=["*"])
]
Known = Annotated[
    str | None,
    Header(alias="If-None-Match", description="the ETag of a copy one has: 304 if it is still the same"),
]
_Checksum = "a SHA-256 of the file, in base64, checked before anything else"
_EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # SHA-256 of zero bytes, an example that anyone can check
_ReprDigest = Annotated[
    str | None, Header(alias="Repr-Digest", description=_Checksum, examples=[f"sha-256=:{_EMPTY}:"])
]
_ContentDigest = Annotated[str | None, Header(alias="Content-Digest", description=f"as Repr-Digest: {_Checksum}")]
_Digest = Annotated[str | None, Header(alias="Digest", description=_Checksum, examples=[f"sha-256={_EMPTY}"])]


async def _expected(request: Request, _if_match: _IfMatch = None) -> Condition:
    return conditions.parse(request.headers.getlist("if-match"))  # a header may come several times


async def _fresh(request: Request, _if_match: _IfMatch = None, _if_none_match: _IfNoneMatch = None) -> Condition:
    headers = request.headers
    return conditions.parse(headers.getlist("if-match"), headers.getlist("if-none-match"))


async def _claimed(
    request: Request,
    _repr: _ReprDigest = None,
    _content: _ContentDigest = None,
    _old: _Digest = None,
) -> Checksums:
    return Checksums(checksums.parse({name: request.headers.getlist(name) for name in checksums.HEADERS}))


Expected = Annotated[Condition, Depends(_expected)]
Fresh = Annotated[Condition, Depends(_fresh)]
Claimed = Annotated[Checksums, Depends(_claimed)]
