"""What any request may cost before a route sees it: bytes counted while they arrive, a deadline, unambiguous framing.

Pure ASGI, outside every parser: Content-Length may lie or be absent, and no parser caps what it spools. An answer
that goes out before the body was read closes the connection, so that nobody can go on sending for ever.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    MalformedRequest,
    RequestError,
    RequestTimeout,
    TooManyBytes,
    UnsupportedEncoding,
)
from service.http.record import record_of
from service.problems import response_to
from service.settings import Settings

_LINGER_SECONDS = 1.0  # for the client to read an early answer before the connection goes
_HEADER_OVERHEAD = 4  # bytes of ": " and the line end

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Budget:
    """Bytes of request bodies held by all requests together."""

    limit: int
    held: int = field(default=0, init=False)

    def take(self, count: int) -> None:
        """Reserve `count` bytes, or raise TooManyBytes."""
        if self.held + count > self.limit:
            raise TooManyBytes("too many request bodies are being read at once")
        self.held += count

    def release(self, count: int) -> None:
        """Give `count` bytes back."""
        self.held -= count


class LimitsMiddleware:
    """Refuses what no route needs to see, and guards the body of what passes."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._budget = Budget(settings.held_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with counted bytes, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope["headers"], receive, send, settings=self._settings, budget=self._budget)
        try:
            await self._pass(scope, exchange)
        finally:
            self._budget.release(exchange.received)

    async def _pass(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            check_version(scope["http_version"])
            check_headers(scope["headers"], self._settings)
        except RequestError as error:
            record_of(scope).error = error
            exchange.distrust()
            await response_to(error, scope["path"])(scope, exchange.receive, exchange.send)
        else:
            await self._app(scope, exchange.receive, exchange.send)


def check_version(version: str) -> None:
    """Refuse what h11 reads as HTTP/1.1 although it says otherwise, such as the preface of HTTP/2."""
    if version not in ("1.0", "1.1"):
        raise MalformedRequest("this server speaks HTTP/1.1")


def check_headers(headers: Headers, settings: Settings) -> None:
    """Judge a request by its headers alone.

    Raises:
        HeadersTooLarge, MalformedRequest, UnsupportedEncoding, BodyTooLarge: see errors.py.
    """
    size = sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
    if len(headers) > settings.headers or size > settings.header_bytes:
        raise HeadersTooLarge(f"at most {settings.headers} headers of {settings.header_bytes} bytes together")
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) > 1 or (lengths and _has(headers, b"transfer-encoding")):
        raise MalformedRequest("give Content-Length once, or Transfer-Encoding, never both")
    if any(value.strip().lower() != b"identity" for name, value in headers if name == b"content-encoding"):
        raise UnsupportedEncoding("send the body without a Content-Encoding")
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

    def __init__(self, headers: Headers, receive: Receive, send: Send, *, settings: Settings, budget: Budget) -> None:
        self._receive, self._send = receive, send
        self._settings, self._budget = settings, budget
        self._deadline = time.monotonic() + settings.body_seconds
        self._complete = not (_has(headers, b"content-length") or _has(headers, b"transfer-encoding"))
        self.received = 0

    def distrust(self) -> None:
        """Where this request ends is not certain: the connection must end with it."""
        self._complete = False

    async def receive(self) -> Message:
        """The next piece of the body, counted; once it is complete, whatever the server says."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout(f"the body must arrive within {self._settings.body_seconds:g} seconds") from None
        self._count(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        return message

    def _count(self, size: int) -> None:
        if self.received + size > self._settings.body_bytes:
            raise BodyTooLarge(f"a request body has at most {self._settings.body_bytes} bytes")
        self._budget.take(size)
        self.received += size

    async def send(self, message: Message) -> None:
        """Send the answer; where the body was not read to its end, the connection ends with it."""
        if self._complete:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*message.get("headers", []), (b"connection", b"close")]})
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b""})

    async def _linger(self) -> None:
        """Throw away what still comes, for a moment: closing at once would reset the answer under way."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while (await self._receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
