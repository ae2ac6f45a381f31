"""The port for gRPC: beside HTTP, in the same process and on the same event loop."""

import asyncio
from typing import Any

import grpc

from service.grpc import health
from service.grpc.calls import SERVICE, Calls
from service.grpc.methods import Methods
from service.service import Service
from service.settings import Settings

_MILLI = 1000
_STREAMS = 128  # of one connection
_IDENTITY = 1  # the bit of the one compression algorithm that is taken: none, so that no message can be a bomb


class GrpcServer:
    """Serves one port; made and used on the event loop that serves HTTP."""

    def __init__(self, service: Service, *, host: str, port: int) -> None:
        """Take the port, without answering yet.

        Raises:
            OSError: the port is taken, or there is no such address.
        """
        name = f"[{host}]" if ":" in host else host
        self._server = grpc.aio.server(options=_options(service.settings))
        calls = Calls(service)
        handlers = grpc.method_handlers_generic_handler(SERVICE, dict(Methods(calls).handlers()))
        self._server.add_generic_rpc_handlers((handlers,))
        health.add(self._server, calls)
        try:
            self.port = self._server.add_insecure_port(f"{name}:{port}")
        except RuntimeError:
            raise OSError(f"cannot listen on {name}:{port} for gRPC") from None
        self.address = f"grpc://{name}:{self.port}"

    async def start(self) -> None:
        """Answer from now on."""
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Take no more calls and tell clients so; let those under way end within so many seconds."""
        async with asyncio.timeout(seconds + 1):
            await self._server.stop(seconds)


def _options(settings: Settings) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", settings.body_bytes),
        ("grpc.max_metadata_size", settings.header_bytes),
        ("grpc.absolute_max_metadata_size", settings.header_bytes),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_allowed_incoming_connections", settings.connections),
        ("grpc.max_connection_idle_ms", settings.idle_seconds * _MILLI),
        ("grpc.server_handshake_timeout_ms", round(settings.header_seconds * _MILLI)),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY),
        ("grpc.so_reuseport", int(settings.workers > 1)),  # else two servers would share clients without a word
    ]
