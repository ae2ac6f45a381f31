"""Bodies that come compressed (Content-Encoding: gzip or deflate), inflated piece by piece while they are read.

A body may inflate to the size that any body may have. Beyond a few megabytes it may inflate to a fixed multiple of what
has come of it, so a small request is never much work. Nothing is inflated before a route reads its body.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence

from starlette.types import Message

from service.errors import BodyTooLarge, MalformedRequest, UnsupportedEncoding

CODINGS = ("gzip", "deflate")  # as `Accept-Encoding` of a refusal names them

_PIECE_BYTES = 256 * 1024  # inflated between two turns of the event loop
_FREE_BYTES = 4 * 2**20  # of any body, however well it was compressed: a few images as numbers, all of one colour
_RATIO = 100  # times what has come, beyond those
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

Headers = Sequence[tuple[bytes, bytes]]


def coding_of(method: str, headers: Headers) -> str | None:
    """The coding of a request's body; None: it comes as it is.

    Raises:
        UnsupportedEncoding: another coding, several of them, or one for a request other than POST: what is published
            has a checksum, which would not say of which form it is.
    """
    named = [value.decode("latin-1").strip().lower() for name, value in headers if name == b"content-encoding"]
    if not named or named == ["identity"]:
        return None
    if method != "POST" or len(named) > 1 or named[0] not in _WINDOWS:
        raise UnsupportedEncoding("a POST may have the Content-Encoding gzip or deflate; all else is sent as it is")
    return named[0]


class Inflated:
    """The body of one request, inflated."""

    def __init__(
        self, coding: str, receive: Callable[[], Awaitable[Message]], *, most: int, hold: Callable[[int], None]
    ) -> None:
        """`most` is the most bytes of a body; `hold` is told of all bytes that come out."""
        self._receive, self._most, self._hold = receive, most, hold
        self._inflater = zlib.decompressobj(_WINDOWS[coding])
        self._compressed = self._size = 0  # bytes so far
        self._last = False  # the last piece has come

    async def receive(self) -> Message:
        """ASGI's `receive`.

        Raises:
            MalformedRequest: it is not what its Content-Encoding says.
            BodyTooLarge: it inflates to more than it may.
        """
        while True:
            if self._inflater.unconsumed_tail:
                await asyncio.sleep(0)  # other requests go on between two pieces
                return self._inflate(self._inflater.unconsumed_tail)
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            body, self._last = message.get("body", b""), not message.get("more_body", False)
            self._compressed += len(body)
            if body or self._last:
                return self._inflate(body)

    def _inflate(self, data: bytes) -> Message:
        inflater = self._inflater
        try:
            piece = inflater.decompress(data, _PIECE_BYTES)
            more = not self._last or bool(inflater.unconsumed_tail)
            if not more:
                piece += inflater.flush(_PIECE_BYTES)
        except zlib.error:
            raise MalformedRequest("the body is not compressed as its Content-Encoding says") from None
        self._size += len(piece)
        if self._size > min(self._most, _FREE_BYTES + _RATIO * self._compressed):
            raise BodyTooLarge(f"this body inflates to more than {self._most} bytes, or to too much for its size")
        if inflater.unused_data or not (more or inflater.eof):
            raise MalformedRequest("the compressed body is cut off, or something stands behind it")
        self._hold(len(piece))
        return {"type": "http.request", "body": piece, "more_body": more}
