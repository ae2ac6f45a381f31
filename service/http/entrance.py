"""The way in: accepts the connections that wait in the kernel, and refuses there what there is no room for.

uvloop accepts one connection in each turn of the event loop. In a flood the others would wait in the kernel, unseen.
So whenever one was opened, all that wait are accepted. If a prediction has come whole and there is no room for it, it
is answered at once, over the bare socket: neither a transport nor a parser is made for it, and it takes no place. All
others go the usual way, through `protocol`.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from service.engine import EngineError
from service.errors import Overloaded
from service.http.places import MOST_REST_SECONDS, Connection, Places, Pressure, Turns, turns_of_bytes
from service.http.refusals import Refusals, is_prediction, is_whole
from service.settings import Settings

_TURN_SECONDS = 0.01  # between requests that were sent ahead of their answers, on all connections together
_REFUSAL_SECONDS = 0.05  # between refusals of unread bodies to those without a key: each costs a connection
_ADMITTED = 64  # connections in one turn of the event loop
_MOST_SECONDS = 0.02  # of one turn
_LARGEST = 2**18  # bytes that are looked at: what the kernel has of a request

Factory = Callable[[bool], asyncio.Protocol]


@dataclass(slots=True)
class Guard:
    """The state that all connections of a server share.

    Attributes:
        settings: the limits.
        places: of the connections.
        refused: told about each refusal outside the application.
        check_room: raises EngineError where a prediction would be refused now for want of room.
        stopping: whether answers shall close their connections.
        pressure: of the event loop.
        refusals: makes the answers to predictions that are refused unread.
        opened: called when a connection was opened.
        lingering: connections whose last answer is on its way.
        discards: turns of bytes that are thrown away.
    """

    settings: Settings
    places: Places
    refused: Callable[[Exception], None]
    check_room: Callable[[], None]
    stopping: Callable[[], bool] = lambda: False
    pressure: Pressure = field(default_factory=Pressure)
    refusals: Refusals = field(default_factory=Refusals)
    opened: Callable[[], None] = lambda: None
    lingering: int = 0
    leaving: dict[Connection, None] = field(default_factory=dict)  # open without a place
    turns: Turns = field(default_factory=lambda: Turns(_TURN_SECONDS, MOST_REST_SECONDS))
    turns_of_strangers: Turns = field(default_factory=lambda: Turns(_TURN_SECONDS, MOST_REST_SECONDS))
    turns_of_refusals: Turns = field(default_factory=lambda: Turns(_REFUSAL_SECONDS, MOST_REST_SECONDS))
    discards: Turns = field(init=False)

    def __post_init__(self) -> None:
        """Bound what is thrown away as what is read."""
        self.discards = turns_of_bytes(self.settings)

    def check(self, *, whole: bool) -> None:
        """See whether one more prediction may come in, of which all or only a part has come.

        Raises:
            TooManyRequests, EngineError: it may not.
        """
        self.pressure.check(whole=whole)
        self.check_room()


class Entrance:
    """Accepts connections beside uvloop. Belongs to the event loop."""

    def __init__(self, guard: Guard, protocol: Factory) -> None:
        """`protocol` makes that of a new connection, and is told whether a prediction on it was let in already."""
        self._guard, self._protocol = guard, protocol
        self._listeners: Sequence[socket.socket] = ()
        self._looking = False  # whether `_accept` will be called soon
        self._opening: set[asyncio.Task[object]] = set()
        self._buffer = bytearray(_LARGEST)
        guard.opened = self._look

    def open(self, listeners: Sequence[socket.socket]) -> None:
        """Accept at these, which uvloop watches."""
        self._listeners = listeners

    def close(self) -> None:
        """Leave it to uvloop."""
        self._listeners = ()

    async def accept_rest(self, listener: socket.socket, backlog: int) -> None:
        """Accept the connections that wait in the kernel: it would reset them when the listener is closed.

        A backlog of zero makes the kernel drop new attempts meanwhile. Those clients try again, and are refused.
        """
        loop = asyncio.get_running_loop()
        listener.listen(0)
        with suppress(OSError):  # there are none any more
            for _ in range(backlog):
                connection, _address = listener.accept()
                await loop.connect_accepted_socket(lambda: self._protocol(False), connection)
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)

    def _look(self) -> None:
        """See soon whether more connections wait."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._accept)

    def _accept(self) -> None:
        """Accept what waits, for a short time."""
        self._looking = False
        admitted, end = 0, time.monotonic() + _MOST_SECONDS
        for listener in self._listeners:
            with suppress(OSError):  # there are none any more, or no descriptors: uvloop knows what to do then
                while admitted < _ADMITTED and time.monotonic() < end:
                    admitted += self._enters(listener.accept()[0])
                self._look()

    def _enters(self, connection: socket.socket) -> bool:
        """Let a connection in; False if it was answered here."""
        connection.setblocking(False)
        data = self._peek(connection)
        asks = is_prediction(data) and is_whole(data)
        if asks:
            try:
                self._guard.check(whole=True)
            except (EngineError, Overloaded) as error:
                self._refuse(connection, error, data)
                return False
        self._open(connection, asks)
        return True

    def _open(self, connection: socket.socket, asks: bool) -> None:
        """Give a connection to uvloop; until then its prediction is counted here."""
        loop, pressure = asyncio.get_running_loop(), self._guard.pressure
        task = loop.create_task(loop.connect_accepted_socket(lambda: self._protocol(asks), connection))
        pressure.under_way += asks

        def opened(task: "asyncio.Task[object]") -> None:
            pressure.under_way -= asks
            self._opening.discard(task)

        self._opening.add(task)
        task.add_done_callback(opened)

    def _peek(self, connection: socket.socket) -> bytes:
        """All that has come; it stays in the kernel."""
        try:
            size = connection.recv_into(self._buffer, 0, socket.MSG_PEEK)
        except OSError:  # nothing yet
            return b""
        return bytes(memoryview(self._buffer)[:size])

    def _refuse(self, connection: socket.socket, error: Exception, data: bytes) -> None:
        """Answer, and end the connection: what was sent is read, else the kernel would reset it."""
        self._guard.refused(error)
        with suppress(OSError), connection:
            connection.recv_into(self._buffer, len(data))
            connection.send(self._guard.refusals.answer(error, data, close=True))
