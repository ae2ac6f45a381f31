"""grpc.health.v1, as probes of Kubernetes and balancers ask it; and reflection, for people with grpcurl.

Source: grpc/grpc, doc/health-checking.md and doc/server-reflection.md.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from service.access.keys import Scope
from service.errors import ServiceError
from service.grpc.calls import CODES, SERVICE, Call, Calls, Context
from service.grpc.reading import Shares
from service.problems import answer_to

_LOOK_SECONDS = 0.25
_MOST_STREAMS = 64  # that stay open: watchers of the health, and sessions of reflection
_NAMES = ("", SERVICE)

Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Says whether the server takes work; asks for no key, as over HTTP."""

    def __init__(self, calls: Calls, streams: Shares) -> None:
        self._readiness, self._streams = calls.service.readiness, streams

    async def Check(self, request: Any, context: Context) -> Any:  # noqa: ANN401 - gRPC's own name
        """The state now; NOT_FOUND for a service that there is not."""
        if request.service not in _NAMES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return Status(status=self._status(request.service))

    async def Watch(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
        """The state now, and whenever it changes."""
        await take(self._streams, context)
        last = None
        while True:
            status = self._status(request.service)
            if status != last:
                yield Status(status=status)
                last = status
            await asyncio.sleep(_LOOK_SECONDS)

    def _status(self, service: str) -> int:
        if service not in _NAMES:
            return int(Status.SERVICE_UNKNOWN)
        return int(Status.SERVING if self._readiness.ready else Status.NOT_SERVING)


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]
    """The services that there are; asks for a key, as the OpenAPI document does."""

    def __init__(self, calls: Calls, streams: Shares) -> None:
        super().__init__((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME))
        self._calls, self._streams = calls, streams

    async def ServerReflectionInfo(self, requests: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
        """Answer each question about names and types."""
        await take(self._streams, context)
        try:
            with self._calls.admitted(Call(context, requests, "ServerReflectionInfo"), Scope.PREDICT):
                async for answer in super().ServerReflectionInfo(requests, context):
                    yield answer
        except ServiceError as error:
            answered = answer_to(error)
            await context.abort(CODES[answered.status], answered.problem.detail)


async def take(streams: Shares, context: Context) -> None:
    """Count a stream until it ends, or end it here because there are too many."""
    client = context.peer().rpartition(":")[0]
    try:
        streams.take(client)
    except ServiceError as error:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

    def done(_: object) -> None:
        streams.release(client)

    context.add_done_callback(done)  # type: ignore[arg-type]


def add(server: grpc.aio.Server, calls: Calls) -> None:
    """Serve both."""
    streams = Shares(_MOST_STREAMS, "open streams")
    health_pb2_grpc.add_HealthServicer_to_server(Health(calls, streams), server)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(calls, streams), server)
