"""One call: who asks, its key, its message, its end. Errors become gRPC codes by the HTTP status of the one table.

A method is a stream of requests to gRPC, of which one is read. So a call is judged before its message is taken: a
client without a key, or one too many, sends no more than gRPC's window.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from tritonclient.grpc import service_pb2 as pb

from service.access.keys import Scope, bearer
from service.errors import BodyTooLarge, RequestTimeout, Unauthorized
from service.grpc.reading import Reading, Shares
from service.metrics.counters import RequestRecord
from service.problems import CLIENT_CLOSED_REQUEST, answer_to
from service.service import Service
from service.telemetry.logs import chosen_name, log_answer, request_name
from service.telemetry.traces import RequestTrace

SERVICE: str = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
MOST_REQUEST_BYTES = 16 * 1024  # of every message but one that asks for inference

_OK, _INTERNAL = 200, 500
_Code = grpc.StatusCode
CODES: Mapping[int, grpc.StatusCode] = {
    400: _Code.INVALID_ARGUMENT,
    401: _Code.UNAUTHENTICATED,
    403: _Code.PERMISSION_DENIED,
    404: _Code.NOT_FOUND,
    408: _Code.DEADLINE_EXCEEDED,
    409: _Code.FAILED_PRECONDITION,
    413: _Code.INVALID_ARGUMENT,
    415: _Code.INVALID_ARGUMENT,
    422: _Code.INVALID_ARGUMENT,
    429: _Code.RESOURCE_EXHAUSTED,
    CLIENT_CLOSED_REQUEST: _Code.CANCELLED,
    500: _Code.INTERNAL,
    503: _Code.UNAVAILABLE,
    504: _Code.DEADLINE_EXCEEDED,
    507: _Code.RESOURCE_EXHAUSTED,
}

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Requests = AsyncIterator[bytes]


@dataclass(slots=True, eq=False)
class Call:
    """One call under way.

    Attributes:
        context: gRPC's.
        requests: its messages, which may still arrive.
        method: its name, in the service.
        record: what the metrics are told.
        client: the name of its key, or its address.
    """

    context: Context
    requests: Requests
    method: str
    record: RequestRecord = field(default_factory=RequestRecord)
    client: str = ""

    @property
    def address(self) -> str | None:
        """Where it comes from; None where gRPC does not say."""
        kind, _, rest = self.context.peer().partition(":")
        if kind not in ("ipv4", "ipv6"):
            return None
        return unquote(rest.rpartition(":")[0]).strip("[]").partition("%")[0]

    @property
    def key(self) -> str | None:
        """The bearer token that came with it."""
        found = self.metadata("authorization")
        return bearer(found[0].decode("latin-1")) if found else None

    def texts(self, wanted: str) -> list[str]:
        """All values of a metadata key, as text."""
        return [value.decode("latin-1") for value in self.metadata(wanted.lower())]

    def metadata(self, wanted: str) -> list[bytes]:
        """All values of a metadata key."""
        return [_bytes(value) for name, value in self.context.invocation_metadata() or () if name == wanted]


Method = Callable[[Call], Awaitable[bytes]]


class Calls:
    """Lets calls in and follows each to its end. Belongs to the event loop."""

    def __init__(self, service: Service) -> None:
        """For as long as the service runs."""
        self.service, settings = service, service.settings
        self.reading = Reading(service.held, message_bytes=settings.body_bytes)
        self._under_way = Shares(settings.connections, "calls under way")

    def handler(self, name: str, method: Method, scope: Scope | None) -> "grpc.RpcMethodHandler[Any, Any]":
        """The function that gRPC calls for a method of one request and one answer; its key must allow `scope`."""

        async def handle(requests: Requests, context: Context) -> bytes:
            return await self._follow(Call(context, requests, name), method, scope)

        handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_unary_rpc_method_handler(handle)
        return handler

    @contextmanager
    def admitted(self, call: Call, scope: Scope | None) -> Iterator[None]:
        """Let a call in by its key; inside, it counts as its key's. None: no key is asked for.

        Raises:
            Unauthorized, Forbidden, QuotaExceeded, Overloaded: see errors.py.
        """
        call.record.client = call.client = call.address or "nowhere"
        if scope is None:
            self._count(call)
            yield
            return
        self.service.wrong_keys.check(call.address, call.key)
        try:
            admission = self.service.keyring.admitted(call.key, scope)
            with admission as key:
                call.record.admitted = key is not None
                call.record.client = call.client = key.name if key else call.client
                self._count(call)
                if scope is Scope.MANAGE:
                    logger.info("%s by %s", call.method, key.name if key else "anyone: no keys")
                yield
        except Unauthorized:
            self.service.wrong_keys.note(call.address, call.key)
            raise

    async def message(self, call: Call, *, most: int) -> bytes:
        """The message of a call, which is taken now.

        Raises:
            RequestTimeout, BodyTooLarge, TooManyBytes: see errors.py.
        """
        settings = self.service.settings
        try:
            async with asyncio.timeout(settings.body_seconds), self.reading.place(call.client):
                found = await anext(call.requests)
        except TimeoutError:
            raise RequestTimeout(f"the message did not arrive within {settings.body_seconds:g} s") from None
        except StopAsyncIteration:  # gRPC has refused it already, for its size; or there was none
            raise BodyTooLarge(f"a message has at most {settings.body_bytes} bytes; none came") from None
        if len(found) > most:
            raise BodyTooLarge(f"this message has at most {most} bytes")
        return found

    def _count(self, call: Call) -> None:
        """One more is under way until gRPC has done with it, which may be long after its answer."""
        client = call.client
        self._under_way.take(client)

        def done(_: object) -> None:
            self._under_way.release(client)

        call.context.add_done_callback(done)  # type: ignore[arg-type]

    async def _follow(self, call: Call, method: Method, scope: Scope | None) -> bytes:
        name = chosen_name(call.metadata("x-request-id"))
        request_name.set(name.decode())  # of this task, which ends with the call
        extra = [("x-request-id", name.decode())]
        if (generation := self.service.registry.generation) >= 0:
            extra.append(("x-store-generation", str(generation)))
        call.context.set_trailing_metadata(tuple(extra))
        traced = self._begin_trace(call, name.decode())
        status, size = CLIENT_CLOSED_REQUEST, 0
        try:
            with self.admitted(call, scope):
                reply = await method(call)
            status, size = _OK, len(reply)
            return reply
        except Exception as error:
            call.record.error = error
            status = answer_to(error).status
            await self._refuse(call, error, extra)
            raise  # not reached: to refuse is to raise
        finally:
            self.service.metrics.finished(call.record, status)
            self._log(call, status, size)
            if traced is not None:
                self._end_trace(call, traced, status)

    def _begin_trace(self, call: Call, name: str) -> RequestTrace | None:
        tracer = self.service.tracer
        if tracer is None:
            return None
        sent = [(key.encode(), _bytes(value)) for key, value in call.context.invocation_metadata() or ()]
        known = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": call.method, "mimi.request_id": name}
        return tracer.begin(f"{SERVICE}/{call.method}", sent, known)

    def _end_trace(self, call: Call, traced: RequestTrace, status: int) -> None:
        code = _Code.OK if status == _OK else CODES.get(status, _Code.UNKNOWN)
        if (tracer := self.service.tracer) is not None:
            known = {"rpc.grpc.status_code": code.value[0]}
            tracer.end(traced, call.record, status=status, name=f"{SERVICE}/{call.method}", attributes=known)

    async def _refuse(self, call: Call, error: Exception, named: list[tuple[str, str]]) -> None:
        answer = answer_to(error)
        if answer.status == _INTERNAL:
            logger.error("%s failed", call.method, exc_info=error)
        extra = [*named, ("mimi-code", answer.problem.code)]
        if "Retry-After" in answer.headers:
            extra.append(("retry-after", answer.headers["Retry-After"]))
        code = CODES.get(answer.status, _Code.UNKNOWN)
        await call.context.abort(code, answer.problem.detail, tuple(extra))

    def _log(self, call: Call, status: int, size: int) -> None:
        path = f"/{SERVICE}/{call.method}".encode()
        scope = {"method": "gRPC", "raw_path": path, "client": (call.address or "-",)}
        log_answer(scope, status=status, size=size, seconds=perf_counter() - call.record.started)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")
