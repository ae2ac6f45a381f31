"""Gives every request an id and a record. When its answer begins, the metrics count it, once.

This is pure ASGI and the outermost layer, so refusals of the inner layers have the id and are counted as well.
"""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics.counters import Kind, Metrics, RequestRecord
from service.problems import response_to
from service.telemetry.logs import chosen_name, log_answer, request_name
from service.telemetry.traces import RequestTrace

if TYPE_CHECKING:
    from service.metrics.otel import Tracer

HEADER = b"x-request-id"
GENERATION = b"x-store-generation"

_KEY = "mimi.record"  # in the ASGI scope
_CLOSE = (b"connection", b"close")
_NO_ANSWER = 499  # no standard status: the client was gone before its answer


class RecordMiddleware:
    """Adds X-Request-Id to every answer: the client's own if it sent a usable one, else a new one.

    While the server stops, every answer closes its connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        tracer: "Tracer | None" = None,
        stopping: Callable[[], bool] = lambda: False,
        generation: Callable[[], int] = lambda: -1,
    ) -> None:
        """`generation` is that of the store, as far as this server has come."""
        self._app, self._metrics, self._stopping, self._generation = app, metrics, stopping, generation
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; count it when its answer begins, or when it ends without one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name, record = request_id(scope["headers"]), RequestRecord()
        scope[_KEY] = record
        request_name.set(name.decode())  # of this task, which ends with the request
        status, size, before = _NO_ANSWER, 0, self._generation()
        traced = None if self._tracer is None else _begin(self._tracer, scope, name)

        async def named(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                generation = before if record.kind is Kind.PREDICTION else self._generation()
                headers = [*message.get("headers", []), (HEADER, name), *_generation(generation)]
                if self._stopping() and _CLOSE not in headers:
                    headers.append(_CLOSE)
                message = {**message, "headers": headers}
                self._metrics.finished(record, status := message["status"])
            await send(message)
            size += len(message.get("body", b""))

        try:
            await self._app(scope, receive, named)
        except MemoryError as error:  # outside of the application, while a body was read
            if status != _NO_ANSWER:
                raise
            record.error = error
            await response_to(error, scope["path"])(scope, receive, named)
        finally:
            self._metrics.finished(record, _NO_ANSWER)  # counts nothing if the answer was counted
            log_answer(scope, status=status, size=size, seconds=perf_counter() - record.started)
            if self._tracer is not None and traced is not None:
                _end(self._tracer, traced, scope, status)


def _begin(tracer: "Tracer", scope: Scope, name: bytes) -> RequestTrace | None:
    """The span of a request; none of the questions that a monitor asks every few seconds."""
    if scope["path"] == "/metrics" or scope["path"].startswith("/health/"):
        return None
    method: str = scope["method"]
    known = {"http.request.method": method, "mimi.request_id": name.decode()}
    return tracer.begin(method, scope["headers"], known)


def _end(tracer: "Tracer", traced: RequestTrace, scope: Scope, status: int) -> None:
    """End the span, named by the route: the path itself may hold anything."""
    route = getattr(scope.get("route"), "path", "")
    known: dict[str, str | int] = {"http.response.status_code": status} | ({"http.route": route} if route else {})
    tracer.end(traced, record_of(scope), status=status, name=f"{scope['method']} {route}".strip(), attributes=known)


def _generation(number: int) -> list[tuple[bytes, bytes]]:
    """The header that says by which state of the store an answer was made, or by a later one."""
    return [(GENERATION, b"%d" % number)] if number >= 0 else []


def record_of(scope: Scope) -> RequestRecord:
    """The record of the request of this scope."""
    record: RequestRecord = scope[_KEY]
    return record


def find_record(scope: Mapping[str, Any]) -> RequestRecord | None:
    """As `record_of`; None before the middleware has seen the request."""
    return scope.get(_KEY)


def request_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The client's name for the request if it sent exactly one, of 1 to 128 harmless characters; else a new one."""
    return chosen_name([value for name, value in headers if name == HEADER])
