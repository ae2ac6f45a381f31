"""uvicorn's h11 protocol with what it lacks: deadlines, bounds on one connection's work, and our error body.

One connection can cost no more than a place, the pieces that its bytes justify, and a little memory each way:

    headers   must be complete within `header_seconds` of their first byte; an idle connection is closed silently
    bodies    come in pieces of a sensible size, whatever their framing
    answers   are read at a least rate; what is read ahead of an answer is bounded
    turns     requests sent ahead of their answers, those after too many wrong keys, and refusals of bodies that come
              without a key wait for their turn
    places    see `places`
    refusals  a prediction for which there is no room is refused from its first line, before anything is parsed

Only h11: it refuses oversized headers, which the faster parser accepts.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.engine import EngineError
from service.errors import (
    HeadersTooLarge,
    MalformedRequest,
    Overloaded,
    RequestTimeout,
    TooManyConnections,
    TooManyWrongKeys,
)
from service.http.entrance import Guard
from service.http.parsing import Flow, Pieces
from service.http.record import find_record
from service.http.refusals import is_prediction, is_whole, may_stay, plain

_MOST_AHEAD = 64 * 1024  # bytes of further requests that are read while one is answered
_LINGER_SECONDS = 1.0  # for the client to read a last answer: closing at once would reset the connection
_PENALTY_SECONDS = 0.1  # at least, before a body is refused that is framed wrongly or in tiny pieces
_LEAVE_SECONDS = 10.0  # open without a place: who connects again at once shall not make us busy
_JUST_USED_SECONDS, _MOST_LEAVING, _MOST_LINGERING = 1.0, 1024, 256  # the last two are connections
_LEAST_SECONDS = 0.004  # of a pause in reading
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


def protocol_class(shared: Guard) -> type[H11Protocol]:
    """uvicorn takes a class, so what it needs to know is bound here."""

    class Protocol(_Protocol):
        guard = shared

    return Protocol


class _Protocol(H11Protocol):
    """One connection."""

    guard: Guard
    conn: Pieces
    flow: Flow
    address = ""
    _predicts = _counted = False  # a prediction was let in; it has come whole, and is not answered yet
    _proven = False  # a valid key came before the request that is being answered
    _stopping = False  # the server takes no more connections
    _resting = False  # until its turn has come
    _closing = False  # nothing is parsed any more: what still comes is thrown away
    _unreadable = False  # what comes of the body under way is thrown away
    _discarded = _unsent = 0  # bytes: thrown away; of answers that waited for the client at the last look
    _used_at = 0.0  # on the loop's clock
    _hurry: asyncio.Event | None = None  # ends the wait before a refusal
    on_lost: Callable[[], None] | None = None  # told when the connection of the request under way is lost
    _header_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        let_in: bool = False,  # the prediction that is about to be read
    ) -> None:
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
        self.conn = Pieces(h11.SERVER, config.h11_max_incomplete_event_size or 2**16)
        self._predicts = let_in

    # ---------------------------------------------------------------- as `places` sees it
    @property
    def known(self) -> bool:
        """Whether a valid key came on this connection; True if none is needed."""
        record = find_record(self.scope) if self.scope is not None else None
        self._proven = self._proven or not self.guard.settings.needs_key or bool(record and record.admitted)
        return self._proven

    @property
    def waiting(self) -> bool:
        """Whether no request is being answered, or only a refusal waits for its turn."""
        return not self._in_request() or self._hurry is not None

    def give_way(self) -> None:
        """Stay open without a place for a while; a request that comes until then takes a new one."""
        if self._hurry is not None:
            self._hurry.set()
            return
        leaving = self.guard.leaving
        leaving[self] = None
        if self._header_timer is None:
            self._await_request(_LEAVE_SECONDS)
        if len(leaving) > _MOST_LEAVING:
            next(iter(leaving)).leave_now()

    def _await_request(self, seconds: float) -> None:
        """Close the connection if nothing comes for so long."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def leave_now(self) -> None:
        """Close; tell a client that has begun a request."""
        self.guard.leaving.pop(self, None)
        if self._header_timer is not None:
            self._refuse(TooManyConnections("too many connections are open"))
        else:
            self.timeout_keep_alive_handler()

    def _take_place(self) -> bool:
        """Take a place, or refuse and return False."""
        self.guard.leaving.pop(self, None)
        if self.guard.places.enter(self):
            return True
        self._refuse(TooManyConnections("too many connections are open"))
        return False

    # ---------------------------------------------------------------- asyncio's protocol
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or refuse before anything is read."""
        super().connection_made(transport)
        self.guard.opened()
        self.flow, self._used_at = Flow(transport), self.loop.time()
        self.address = str(self.client[0]) if self.client else ""
        if self._take_place():
            self._await_request(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        """Parse; the clock runs from a request's first byte to the end of its headers."""
        if self._closing or self._unreadable:
            self._discard(len(data))
            return
        if self in self.guard.leaving and self._header_timer is None and not self._take_place():
            return
        if not (self._predicts or self._resting or self._in_request() or self._header_timer) and is_prediction(data):
            try:
                self.guard.check(whole=is_whole(data))
            except (EngineError, Overloaded) as error:
                self._refuse_unread(error, data)
                return
            self._predicts = True
        if self._resting or (self.conn.their_state is h11.DONE and self._in_request()):
            self._hold_back(len(data))
        super().data_received(data)
        if self._predicts and not self._counted and self._in_request() and not self.cycle.more_body:
            self.guard.pressure.under_way += 1
            self._counted = True
        self._watch_head(begun=True)
        if self in self.guard.leaving and self._in_request():
            self._take_place()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock with the connection, and free its place."""
        self._stop_clock()
        self._stop_write_clock()
        self._leave_prediction()
        if self._closing:
            self.guard.lingering -= 1
        if self._hurry is not None:
            self._hurry.set()
        if self.on_lost is not None:
            self.on_lost()
        self.guard.places.leave(self)
        self.guard.leaving.pop(self, None)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def pause_writing(self) -> None:
        """The client does not read fast enough: begin to measure how fast it does."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client has read what waited."""
        self._stop_write_clock()
        super().resume_writing()

    # ---------------------------------------------------------------- uvicorn's protocol
    def on_response_complete(self) -> None:
        """Go on with what was read ahead; see that this answer is read, and that the next headers end."""
        self._used_at = self.loop.time()
        self.guard.places.used(self)
        self._leave_prediction()
        if self.flow.held:
            self._hold_back(0)
        self._resting = self._has_to_rest()
        if self._resting:
            turns = self.guard.turns if self.known else self.guard.turns_of_strangers
            self.loop.call_later(turns.wait(self._used_at), self._go_on)
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()
        elif not self._in_request():
            self._watch_head(begun=bool(self.conn.trailing_data[0]))
            if self._stopping:
                self._close_soon()

    def handle_events(self) -> None:
        """Parse what was received, unless this connection has to rest."""
        if not (self._resting or self._unreadable):
            super().handle_events()

    def _has_to_rest(self) -> bool:
        """Whether the next request came before this one was answered, or this one had a wrong key too many."""
        record = find_record(self.scope) if self.scope is not None else None
        return bool(self.conn.trailing_data[0]) or bool(record and isinstance(record.error, TooManyWrongKeys))

    def _go_on(self) -> None:
        self._resting = False
        if not self._closing and not self.transport.is_closing():
            self.handle_events()
            self._watch_head(begun=bool(self.conn.trailing_data[0]))

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection without a word, and drop what its client does not read."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self._drop()

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 refuses; uvicorn calls this while the refusal is being handled."""
        if getattr(sys.exception(), "error_status_hint", 400) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self._refuse(HeadersTooLarge("the request's headers are too large"))
        elif self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and self._in_request():
            self._refuse_body()
        else:
            self._refuse(MalformedRequest("this is not a valid HTTP/1.1 request"))

    def shutdown(self) -> None:
        """The server stops: answer the request under way, and one that may be on its way."""
        self._stopping = True
        if not self._in_request() and not self._closing:
            self._close_soon()

    def _close_soon(self) -> None:
        """Close an idle connection; one that was just used stays a moment, as its next request may be on its way."""
        self._unset_keepalive_if_required()
        left = self._used_at + _JUST_USED_SECONDS - self.loop.time()
        if left <= 0 and self._header_timer is None:
            self.timeout_keep_alive_handler()
        else:
            self._await_request(max(0.1, left))

    def finish(self) -> None:
        """End the connection after an answer to a request whose body is not complete; the rest is not parsed."""
        if self.conn.our_state is h11.SEND_BODY:
            self.transport.write(self.conn.send(h11.EndOfMessage()) or b"")
        self.cycle.disconnected = True  # uvicorn needs no further message
        self.cycle.message_event.set()
        self._close_softly()

    # ---------------------------------------------------------------- clocks and bounds
    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_head(self, *, begun: bool) -> None:
        if self._in_request() or self._closing or self.transport.is_closing():
            self._stop_clock()
        elif begun and self._header_timer is None:
            self._header_timer = self.loop.call_later(self.guard.settings.header_seconds, self._headers_late)

    def _stop_clock(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        seconds = self.guard.settings.header_seconds
        self._refuse(RequestTimeout(f"the request's headers must arrive within {seconds:g} seconds"))

    def _stop_write_clock(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _watch_writing(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        if self._write_timer is None and self._unsent:
            self._write_timer = self.loop.call_later(self.guard.settings.write_seconds, self._look_at_writing)

    def _look_at_writing(self) -> None:
        settings, left = self.guard.settings, self.transport.get_write_buffer_size()
        self._write_timer = None
        if left and self._unsent - left < min(self._unsent, settings.least_rate * settings.write_seconds):
            self._drop()
        elif left:
            self._watch_writing()

    def _leave_prediction(self) -> None:
        self.guard.pressure.under_way -= self._counted
        self._predicts = self._counted = False

    def _hold_back(self, coming: int) -> None:
        """Read no further while much was read ahead of the answer under way."""
        self.flow.held = len(self.conn.trailing_data[0]) + coming > _MOST_AHEAD
        if self.flow.held:
            self.flow.pause_reading()

    async def wait_for_turn(self) -> None:
        """Wait before a body that nobody reads is refused, where no valid key came: each costs a connection."""
        if not self.known and not self.transport.is_closing():
            self._hurry = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.guard.turns_of_refusals.wait(self.loop.time())):
                    await self._hurry.wait()
            self._hurry = None

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self.guard.settings.body_bytes:
            self._drop()
        elif (seconds := self.guard.discards.wait(self.loop.time(), size)) >= _LEAST_SECONDS:
            self.flow.rest(self.loop, seconds)

    # ---------------------------------------------------------------- refusals
    def _refuse_unread(self, error: Exception, data: bytes) -> None:
        """Refuse a request of which nothing was parsed; if it is here as a whole, its connection may stay."""
        whole, ends = is_whole(data), self._stopping or self.guard.stopping() or self in self.guard.leaving
        stays = whole and may_stay(data) and not ends
        self.guard.refused(error)
        self.transport.write(self.guard.refusals.answer(error, data, close=not stays))
        if stays:
            self._used_at = self.loop.time()
            self._await_request(self.timeout_keep_alive)
        elif whole:
            self.transport.close()
        else:
            self._close_softly()

    def _refuse_body(self) -> None:
        """Refuse a body that cannot be parsed any further, when its turn has come: it was costly to find out."""
        self._unreadable = True
        turns = self.guard.turns if self.known else self.guard.turns_of_strangers
        self.loop.call_later(max(_PENALTY_SECONDS, turns.wait(self.loop.time())), self._say_unreadable)

    def _say_unreadable(self) -> None:
        if not self._closing and not self.transport.is_closing():
            self._refuse(MalformedRequest("this body is not framed as HTTP/1.1 says, or in too many tiny pieces"))

    def _refuse(self, error: Exception) -> None:
        """Answer outside the application, if it has not begun to, and close."""
        self.guard.refused(error)
        if self.cycle is not None:  # the application must not answer a second time
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(plain(error, self.conn.path))
        self._close_softly()

    def _close_softly(self) -> None:
        """Send the end of the connection, and discard for a moment what still arrives."""
        if self._closing or self.transport.is_closing():
            return
        self._closing = True
        self._stop_clock()
        self._unset_keepalive_if_required()
        self.guard.places.leave(self)
        self.guard.leaving.pop(self, None)
        self.guard.lingering += 1
        if self.guard.lingering > _MOST_LINGERING or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.held = False
        self.flow.resume_reading()
        self.timeout_keep_alive_task = self.loop.call_later(_LINGER_SECONDS, self._end)

    def _drop(self) -> None:
        """Close at once: the kernel, too, forgets what the client has not read."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _end(self) -> None:
        if self.transport.get_write_buffer_size():
            self._watch_writing()
        self.transport.close()  # when the answer was sent
