"""uvicorn's h11 protocol with what it lacks: a deadline for headers, a cap on connections, and our error body.

Only h11: it refuses oversized headers, which the faster parser accepts.
"""

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.errors import HeadersTooLarge, MalformedRequest, RequestTimeout, ServiceError, TooManyConnections
from service.problems import response_to
from service.settings import Settings

Refused = Callable[[Exception], None]


def protocol_class(settings: Settings, on_refused: Refused) -> type[H11Protocol]:
    """uvicorn takes a class, so what it needs to know is bound here."""

    class Protocol(_Protocol):
        header_seconds = settings.header_seconds
        max_connections = settings.connections
        refused = staticmethod(on_refused)

    return Protocol


class _Protocol(H11Protocol):
    """One connection."""

    header_seconds: float
    max_connections: int
    refused: Refused
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(TooManyConnections("too many connections are open"))
            return
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Parse; the clock runs from a request's first byte to the end of its headers."""
        if self._header_timer is None and not self._in_request():
            self._await_headers()
        super().data_received(data)
        if self._in_request():
            self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 refuses; uvicorn calls this while the refusal is being handled."""
        if getattr(sys.exception(), "error_status_hint", 400) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self._refuse(HeadersTooLarge("the request's headers are too large"))
        else:
            self._refuse(MalformedRequest("this is not a valid HTTP/1.1 request"))

    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.header_seconds, self._headers_late)

    def _stop_clock(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        self._refuse(RequestTimeout(f"the request's headers must arrive within {self.header_seconds:g} seconds"))

    def _refuse(self, error: ServiceError) -> None:
        """Answer outside the application, where it has not begun to, and close."""
        self.refused(error)
        if self.cycle is not None:  # the application must not answer a second time
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(self._render(error))
        self.transport.close()

    def _render(self, error: ServiceError) -> bytes:
        response = response_to(error)
        head = h11.Response(
            status_code=response.status_code,
            headers=[*response.raw_headers, (b"connection", b"close")],
            reason=HTTPStatus(response.status_code).phrase.encode(),
        )
        events = (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage())
        return b"".join(self.conn.send(event) or b"" for event in events)
