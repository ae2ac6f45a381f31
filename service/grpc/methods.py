"""The methods of the service: what the routes below `/v2` do, for messages."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb

from service.access.keys import Scope
from service.errors import InvalidInference
from service.grpc import messages
from service.grpc.calls import MOST_REQUEST_BYTES, Call, Calls, Method
from service.grpc.messages import InferMessage, M, parsed_message, target_of
from service.inputs.stickiness import BY, KEY, read_stickiness
from service.metrics.counters import Kind
from service.oip import inference
from service.oip.models import repository_index, server_metadata


class Methods:
    """The methods, for one running server."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self._service = calls, calls.service

    def handlers(self) -> "Mapping[str, grpc.RpcMethodHandler[Any, Any]]":
        """By the name of the method."""
        methods: Mapping[str, tuple[Method, Scope | None]] = {
            "ServerLive": (self._server_live, None),
            "ServerReady": (self._server_ready, None),
            "ServerMetadata": (self._server_metadata, Scope.PREDICT),
            "ModelReady": (self._model_ready, Scope.PREDICT),
            "ModelMetadata": (self._model_metadata, Scope.PREDICT),
            "ModelInfer": (self._infer, Scope.PREDICT),
            "RepositoryIndex": (self._index, Scope.PREDICT),
            "RepositoryModelLoad": (self._load, Scope.MANAGE),
            "RepositoryModelUnload": (self._unload, Scope.MANAGE),
        }
        return {name: self._calls.handler(name, *what) for name, what in methods.items()}

    async def _infer(self, call: Call) -> bytes:
        service, record = self._service, call.record
        service.metrics.begun(record, Kind.PREDICTION)
        service.batcher.check_room()
        message = await self._calls.message(call, most=service.settings.body_bytes)
        with self._calls.reading.held(len(message)):
            asked = await service.decoder.offload(lambda: InferMessage.parse(message))
            sticky = read_stickiness(call.texts(KEY), call.texts(BY))
            target = replace(asked.target, key=sticky.key)
            await inference.resolve(service, record, target)
            found = await inference.infer(
                service,
                record,
                asked.request,
                seconds=call.context.time_remaining(),
                by_image=target if sticky.by_image else None,
            )
        return messages.infer_response(found)

    async def _server_live(self, call: Call) -> bytes:
        await self._read(call, pb.ServerLiveRequest)
        return messages.flag(pb.ServerLiveResponse, live=True)

    async def _server_ready(self, call: Call) -> bytes:
        await self._read(call, pb.ServerReadyRequest)
        return messages.flag(pb.ServerReadyResponse, ready=inference.is_ready(self._service))

    async def _server_metadata(self, call: Call) -> bytes:
        await self._read(call, pb.ServerMetadataRequest)
        return messages.server_metadata(server_metadata(self._service.engine.precision))

    async def _model_ready(self, call: Call) -> bytes:
        asked: Any = await self._read(call, pb.ModelReadyRequest)
        ready = await inference.answers(self._service, target_of(asked.name, asked.version))
        return messages.flag(pb.ModelReadyResponse, ready=ready)

    async def _model_metadata(self, call: Call) -> bytes:
        asked: Any = await self._read(call, pb.ModelMetadataRequest)
        found = await inference.metadata(self._service, target_of(asked.name, asked.version))
        return messages.model_metadata(found)

    async def _index(self, call: Call) -> bytes:
        asked: Any = await self._read(call, pb.RepositoryIndexRequest)
        found = repository_index(self._service.registry.table, only_ready=asked.ready)
        return messages.repository_index(found)

    async def _load(self, call: Call) -> bytes:
        asked: Any = await self._read(call, pb.RepositoryModelLoadRequest)
        if asked.parameters:
            raise InvalidInference("load takes no parameters: publish files with PUT /v1/tasks/{task}")
        await inference.load(self._service, asked.model_name)
        return messages.nothing(pb.RepositoryModelLoadResponse)

    async def _unload(self, call: Call) -> bytes:
        asked: Any = await self._read(call, pb.RepositoryModelUnloadRequest)
        await inference.unload(self._service, asked.model_name)
        return messages.nothing(pb.RepositoryModelUnloadResponse)

    async def _read(self, call: Call, kind: type[M]) -> M:
        return parsed_message(await self._calls.message(call, most=MOST_REQUEST_BYTES), kind)
