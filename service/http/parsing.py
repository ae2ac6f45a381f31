"""h11's parser and uvicorn's flow control, each with one more limit. They know nothing of the application."""

import asyncio
import re
from collections.abc import Sequence

import h11
from uvicorn.protocols.http.flow_control import FlowControl

_FREE_PIECES = 128  # of a body, of any size
_PIECE_BYTES = 64  # of an average piece beyond them: one costs about as much as handling so many bytes
_LINE_BYTES = 128  # of a request's first line: more than a method and the beginning of a path
_PATH = re.compile(rb"[A-Za-z]{1,20} (/[^ ?\r\n]*)")


class Pieces(h11.Connection):
    """Refuses bodies that come in many tiny pieces: each piece costs the same, however small it is.

    An answer's head is joined with what follows it: one packet, and one call into the kernel.
    """

    _pieces = 0
    _bytes = 0
    _line = b""  # the beginning of the latest request
    _head: Sequence[bytes] = ()  # of the answer that begins: it goes with the first part of its body

    @property
    def path(self) -> str:
        """The path of the latest request, or its beginning, also if h11 refuses that request; empty: none is known."""
        found = _PATH.match(self._line)
        return found[1].decode("latin-1") if found else ""

    def receive_data(self, data: bytes) -> None:
        """Take bytes, and keep the first ones of a request: what h11 refuses it forgets."""
        if self.their_state is h11.IDLE and len(self._line) < _LINE_BYTES:
            self._line += data[: _LINE_BYTES - len(self._line)]
        super().receive_data(data)

    def start_next_cycle(self) -> None:
        """Go on with the next request, which may have come already."""
        super().start_next_cycle()
        self._line = self.trailing_data[0][:_LINE_BYTES]

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event.

        Raises:
            RemoteProtocolError: what h11 refuses, or too many pieces.
        """
        event = super().next_event()
        if type(event) is h11.Data:
            self._pieces += 1
            self._bytes += len(event.data)
            if self._pieces > _FREE_PIECES + self._bytes // _PIECE_BYTES:
                raise h11.RemoteProtocolError("the body comes in too many tiny pieces")
        elif type(event) is h11.Request:
            self._pieces = self._bytes = 0
        return event

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """The bytes to write for an event, which `send` joins; those of an answer's head come with the next event."""
        data = super().send_with_data_passthrough(event)
        if type(event) is h11.Response:
            self._head = data or ()
            return []
        if data is not None and self._head:
            data, self._head = [*self._head, *data], ()
        return data


class Flow(FlowControl):
    """Flow control whose reading can be paused from outside, also when uvicorn wants to go on."""

    held = False

    def resume_reading(self) -> None:
        """Go on, unless reading is paused."""
        if not self.held:
            super().resume_reading()

    def rest(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Read nothing for so long."""
        self.held = True
        self.pause_reading()
        loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self.held = False
        if not self._transport.is_closing():
            self.resume_reading()
