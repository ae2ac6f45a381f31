"""Compresses answers for clients that ask for it: gzip, for texts that are read often and hold no secret.

Only answers to GET: what a prediction says about an image goes as it is, so that no secret and no text of a stranger
are compressed together. The work for one answer is bounded by its size; lists come in pages.
"""

import gzip
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.tasks.conditions import GZIPPED

_LEAST_BYTES = 4096  # less fits into the first packets of a connection, compressed or not
_MOST_BYTES = 2 * 2**20  # of one answer: some ten milliseconds at this level
_LEVEL = 1  # of 9: three quarters of what is possible, for a fifth of the time
_KINDS = ("application/json", "text/plain", "text/html", "text/css", "text/javascript", "application/openmetrics-text")
_CODING = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE)

Headers = Sequence[tuple[bytes, bytes]]


class CompressionMiddleware:
    """Compresses what is worth it, and says `Vary` wherever it might have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and compress its answer."""
        if scope["type"] == "http" and scope["method"] == "GET":
            send = _Answer(scope["headers"], send).send
        await self._app(scope, receive, send)


def takes_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding names gzip, or everything, and does not give it the weight 0."""
    value = ",".join(value.decode("latin-1") for name, value in headers if name == b"accept-encoding")
    weights = {
        found[1].lower(): float(found[2] or 1) for part in value.split(",") if (found := _CODING.fullmatch(part))
    }
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


class _Answer:
    """One answer on its way out."""

    def __init__(self, asked: Headers, send: Send) -> None:
        self._asked, self._send = asked, send
        self._start: Message | None = None  # held back until the body is known

    async def send(self, message: Message) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            headers = message.get("headers", [])
            if message["status"] == 304:  # noqa: PLR2004 - not modified
                await self._send({**message, "headers": [*_as_asked(headers, self._asked), _VARY]})
            elif message["status"] == 200 and _kind(headers) in _KINDS:  # noqa: PLR2004 - complete
                self._start = {**message, "headers": [*headers, _VARY]}
            else:
                await self._send(message)
        elif self._start is not None:
            start, self._start = self._start, None
            start, message = self._compressed(start, message)
            await self._send(start)
            await self._send(message)
        else:
            await self._send(message)

    def _compressed(self, start: Message, message: Message) -> tuple[Message, Message]:
        body = message.get("body", b"")
        if message.get("more_body") or not _LEAST_BYTES <= len(body) <= _MOST_BYTES or not takes_gzip(self._asked):
            return start, message
        data = gzip.compress(body, _LEVEL, mtime=0)
        headers = [_gzipped(name, value) for name, value in start["headers"] if name != b"content-length"]
        headers += [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(data))]
        return {**start, "headers": headers}, {**message, "body": data}


_VARY = (b"vary", b"Accept-Encoding")


def _kind(headers: Headers) -> str:
    value = next((value for name, value in headers if name == b"content-type"), b"")
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def _gzipped(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header of the compressed answer: other bytes have another entity tag (RFC 9110, section 8.8.3.3)."""
    return (name, value[:-1] + GZIPPED.encode() + b'"') if name == b"etag" else (name, value)


def _as_asked(headers: Headers, asked: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of 304, with the tag of the copy that the client has."""
    has = b",".join(value for name, value in asked if name == b"if-none-match")
    gzipped = [_gzipped(name, value) for name, value in headers]
    return [theirs if theirs[0] == b"etag" and theirs[1] in has else ours
            for ours, theirs in zip(headers, gzipped, strict=True)]  # fmt: skip
