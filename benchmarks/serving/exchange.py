"""One keep-alive connection that speaks just enough HTTP/1.1 to send a prepared request and time its answer.

The whole point is to cost little: the load shares its machine with the server.
"""

import asyncio
from collections.abc import Callable

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
OK = 200
LOST = 0  # instead of a status: the connection ended before the answer did

Answered = Callable[["Exchange", int, bytes], None]


class Exchange(asyncio.Protocol):
    """A connection with at most one request under way; `answered` hears of the end of each."""

    def __init__(self, answered: Answered) -> None:
        """Nothing is sent before `ask`."""
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._expected = -1  # bytes of the whole answer; unknown before its head is there
        self._asking = False

    @property
    def open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> None:
        """Send one request; the one before has been answered."""
        if not self._transport or self._asking:
            raise RuntimeError("not connected, or the answer before is still missing")
        self._asking = True
        self._transport.write(request)

    def close(self) -> None:
        """End the connection."""
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect an answer; tell when it is whole."""
        self._received += data
        if self._expected < 0:
            self._expected = _size(self._received)
        if 0 <= self._expected <= len(self._received):
            self._finish(int(self._received[9:12]), bytes(self._received))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of an answer that will not come."""
        if self._asking:
            self._finish(LOST, bytes(self._received))

    def _finish(self, status: int, answer: bytes) -> None:
        self._received.clear()
        self._expected, self._asking = -1, False
        self._answered(self, status, answer.partition(_END_OF_HEAD)[2])


def _size(received: bytearray) -> int:
    """Bytes of the answer that begins like this; -1 where its head is not complete.

    Raises:
        ValueError: it does not say how long it is.
    """
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return -1
    head = bytes(received[:end]).lower()
    start = head.find(_LENGTH)
    if start < 0:
        raise ValueError("an answer without Content-Length cannot be timed")
    return end + len(_END_OF_HEAD) + int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0])
