"""h11's parser and uvicorn's flow control, each with one more limit. They know nothing of the application."""

import asyncio
from collections.abc import Sequence

import h11
from uvicorn.protocols.http.flow_control import FlowControl

_FREE_PIECES = 128  # of a body, of any size
_PIECE_BYTES = 64  # of an average piece beyond them: one costs about as much as handling so many bytes


class Pieces(h11.Connection):
    """Refuses bodies that come in many tiny pieces: each piece costs the same, however small it is.

    An answer's head is joined with what follows it: one packet, and one call into the kernel.
    """

    _pieces = 0
    _bytes = 0
    _head: Sequence[bytes] = ()  # of the answer that begins: it goes with the first part of its body

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
