"""Limits that every request must keep before a route sees it: bytes, a minimum rate, and unambiguous framing.

This is pure ASGI, in front of every parser: Content-Length may be wrong or absent, and parsers do not limit what they
buffer. An answer before the end of the body closes the connection, so that nobody can send for ever. A route ends
only when its client has read the answer. So the route's own limits also bound the memory that it holds meanwhile.
Large bodies share a rate: reading one at full speed would keep the event loop from all others.
"""

import asyncio
import time
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    MalformedRequest,
    RequestError,
    RequestTimeout,
)
from service.http.inflating import Inflated, coding_of
from service.http.places import Turns, turns_of_bytes
from service.http.record import record_of
from service.inputs.budget import Budget
from service.problems import response_to
from service.settings import Settings

_PIECE_BYTES = 64 * 1024  # of an answer
_FREE_BYTES = 2 * 2**20  # of a body, beyond which it is a large one
_LEAST_SECONDS = 0.004  # of a pause in reading
_STILL_SECONDS = 5.0  # later than this, a timer tells that the event loop stood still: a paused machine or process
_MORE_SECONDS = 1.0  # then, for a body that is on its way through this process, or through that of Ray's proxy
_HEADER_OVERHEAD = 4  # bytes of ": " and the line end

Headers = Sequence[tuple[bytes, bytes]]


class LimitsMiddleware:
    """Refuses what no route needs to see, and guards the body of what passes."""

    def __init__(self, app: ASGIApp, *, settings: Settings, budget: Budget) -> None:
        """`budget` holds the bodies of all requests."""
        self._app, self._settings, self._budget = app, settings, budget
        self._turns = turns_of_bytes(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with counted bytes, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, settings=self._settings, budget=self._budget, turns=self._turns)
        try:
            await self._pass(scope, exchange)
        finally:
            self._budget.release(exchange.received + exchange.inflated)

    async def _pass(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            check_version(scope["http_version"])
            check_headers(scope["headers"], self._settings)
            coding = coding_of(scope["method"], scope["headers"])
        except RequestError as error:
            record_of(scope).error = error
            exchange.distrust()
            await response_to(error, scope["path"])(scope, exchange.receive, exchange.send)
        else:
            await self._app(*exchange.inflating(scope, coding), exchange.send)


def check_version(version: str) -> None:
    """Refuse what h11 reads as HTTP/1.1 although it says otherwise, such as the preface of HTTP/2."""
    if version not in ("1.0", "1.1"):
        raise MalformedRequest("this server speaks HTTP/1.1")


def check_headers(headers: Headers, settings: Settings) -> None:
    """Judge a request by its headers alone.

    Raises:
        HeadersTooLarge, MalformedRequest, BodyTooLarge: see errors.py.
    """
    size = sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
    if len(headers) > settings.headers or size > settings.header_bytes:
        raise HeadersTooLarge(f"at most {settings.headers} headers of {settings.header_bytes} bytes together")
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) > 1 or (lengths and _has(headers, b"transfer-encoding")):
        raise MalformedRequest("give Content-Length once, or Transfer-Encoding, never both")
    if lengths and _length(lengths[0]) > settings.body_bytes:
        raise BodyTooLarge(f"a request body has at most {settings.body_bytes} bytes")


def _has(headers: Headers, wanted: bytes) -> bool:
    return any(name == wanted for name, _ in headers)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:  # noqa: PLR2004 - beyond 64 bits there is no such body
        raise MalformedRequest("Content-Length must be a decimal number")
    return int(value)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, settings: Settings, budget: Budget, turns: Turns
    ) -> None:
        headers: Headers = scope["headers"]
        self._receive, self._send = receive, send
        self._settings, self._budget, self._turns = settings, budget, turns
        self._connection = scope.get("state", {}).get("connection")
        self._began = time.monotonic()
        self._complete = not (_has(headers, b"content-length") or _has(headers, b"transfer-encoding"))
        self._excused = False  # the event loop stood still once when the body's time was up
        self._early = False  # the answer began before the body was complete
        self.received = self.inflated = 0  # bytes

    def distrust(self) -> None:
        """The end of this request is not certain, so the connection is closed after it."""
        self._complete = False

    def inflating(self, scope: Scope, coding: str | None) -> tuple[Scope, Receive]:
        """The scope and the messages that the application sees of a request whose body has this coding."""
        if coding is None:
            return scope, self.receive
        headers = [each for each in scope["headers"] if each[0] not in (b"content-encoding", b"content-length")]
        body = Inflated(coding, self.receive, most=self._settings.body_bytes, hold=self._hold)
        return {**scope, "headers": headers}, body.receive

    def _hold(self, size: int) -> None:
        self._budget.take(size)
        self.inflated += size

    async def receive(self) -> Message:
        """The next piece of the body, counted; after its end, the server's own messages."""
        if self._complete:
            return await self._receive()
        message = await self._in_time()
        self._count(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        if not self._complete:
            await self._pause(len(message.get("body", b"")))
        return message

    async def _in_time(self) -> Message:
        """The next message, unless the client is too slow for it.

        If the event loop stood still when time was up, the body may be here and just not have been handed over. So
        there is a little more time then, once.
        """
        try:
            return await self._before(self._began + self._allowed())
        except TimeoutError:
            late = time.monotonic() - self._began - self._allowed()
            if late < _STILL_SECONDS or self._excused:
                raise RequestTimeout(self._too_slow()) from None
        self._excused = True
        self._began += late + _MORE_SECONDS
        return await self._in_time()

    async def _before(self, end: float) -> Message:
        async with asyncio.timeout(end - time.monotonic()):
            return await self._receive()

    async def _pause(self, size: int) -> None:
        """Leave the event loop to others after so many bytes of a large body; the client's clock stands still."""
        seconds = self._turns.wait(time.monotonic(), max(0, min(size, self.received - _FREE_BYTES)))
        if self.received > _FREE_BYTES and seconds >= _LEAST_SECONDS:
            await asyncio.sleep(seconds)
            self._began += seconds

    def _allowed(self) -> float:
        """Seconds that the body may have taken, by how much of it is here."""
        settings = self._settings
        seconds = settings.body_seconds + self.received / settings.least_rate
        return min(seconds, max(settings.body_seconds, settings.body_most_seconds))

    def _too_slow(self) -> str:
        settings = self._settings
        return (
            f"a body arrives within {settings.body_seconds:g} seconds, or after that at {settings.least_rate} bytes "
            f"per second, and within {settings.body_most_seconds:g} seconds"
        )

    def _count(self, size: int) -> None:
        if self.received + size > self._settings.body_bytes:
            raise BodyTooLarge(f"a request body has at most {self._settings.body_bytes} bytes")
        self._budget.take(size)
        self.received += size

    async def send(self, message: Message) -> None:
        """Send the answer as fast as the client reads it. If the body was not read, close the connection afterwards."""
        if message["type"] == "http.response.start":
            close = [] if self._complete else [(b"connection", b"close")]
            if close and self._connection is not None:
                await self._connection.wait_for_turn()
            await self._send({**message, "headers": [*message.get("headers", []), *close]})
            self._early = bool(close)
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            await self._send(message)

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        """In pieces: before each one, uvicorn waits until the client has read most of those before."""
        for start in range(0, len(body) - _PIECE_BYTES, _PIECE_BYTES):
            await self._send(_piece(body[start : start + _PIECE_BYTES], more=True))
        rest = body[max(0, len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES :]
        await self._send(_piece(rest, more=more or self._early))
        if self._early and not more:
            if self._connection is not None:
                self._connection.finish()
            await self._send(_piece(b"", more=False))


def _piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
