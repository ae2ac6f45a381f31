"""Places for connections: how many may be open, and which one is closed when there are too many.

A connection is known when its client has sent a valid key on it, or if no keys are needed. All others are strangers.
Strangers share a few places, and those of one address share fewer. So nobody without a key can keep others out. A new
connection takes the place of an idle one: first of the stranger that has been idle longest, then of a known client.
nginx does the same with keep-alive connections. A client that sends requests ahead of their answers waits for its
turn; turns bound how often such clients go on. Pressure is measured by how late the event loop is. This file knows no
HTTP.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable
from typing import Protocol

from service.errors import TooManyRequests
from service.settings import Settings

MOST_REST_SECONDS = 2.0  # less than any patience with a client
_LATE_SECONDS, _TOO_LATE_SECONDS = 0.03, 0.08  # of the event loop: from here on some are refused, from there on all
_TICKS = 3  # in a row: a single delay is no overload
_FREE = 48  # predictions under way, below which one more is let in however late the loop is: they keep the engine busy
_FREE_BEGUN = 32  # predictions of which a part has come, between two ticks, however late the loop is


class Connection(Protocol):
    """The state of an open connection."""

    @property
    def address(self) -> str:
        """The client's address."""
        ...

    @property
    def known(self) -> bool:
        """Whether its client has shown a valid key."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether no request of it is being answered."""
        ...

    def leave_now(self) -> None:
        """Close, after `give_way`."""
        ...

    def give_way(self) -> None:
        """Give up the place for another connection: close soon, or take a new place for a new request."""
        ...


class Places:
    """The open connections, each kind in the order of its last request. Belongs to the event loop."""

    def __init__(self, settings: Settings) -> None:
        """Begin with no connection. If no keys are needed, only the limit for all connections holds."""
        most = settings.connections
        self._most = most
        self._most_strangers = min(most, settings.keyless_connections) if settings.needs_key else most
        self._most_of_address = min(most, settings.keyless_address_connections) if settings.needs_key else most
        self._known: dict[Connection, None] = {}
        self._strangers: dict[Connection, None] = {}
        self._addresses: Counter[str] = Counter()  # of the strangers

    def __len__(self) -> int:
        """Connections that hold a place."""
        return len(self._known) + len(self._strangers)

    def enter(self, connection: Connection) -> bool:
        """Give a new connection a place; False if there is none, and none can be made."""
        if connection.known:
            made = len(self) < self._most or self._close_one(self._strangers) or self._close_one(self._known)
            if made:
                self._known[connection] = None
            return made
        if self._crowded(connection.address):
            self._promote()
        if self._addresses[connection.address] >= self._most_of_address:
            made = self._close_one(each for each in self._strangers if each.address == connection.address)
        elif len(self._strangers) >= self._most_strangers:
            made = self._close_one(self._strangers)
        elif len(self) >= self._most:
            made = self._close_one(self._strangers) or self._close_one(self._known)
        else:
            made = True
        if made:
            self._strangers[connection] = None
            self._addresses[connection.address] += 1
        return made

    def used(self, connection: Connection) -> None:
        """A request of a connection was answered: it becomes the last of its kind to be closed."""
        if connection in self._strangers and not connection.known:
            del self._strangers[connection]
            self._strangers[connection] = None
        elif connection in self._strangers or connection in self._known:
            self.leave(connection)
            self._known[connection] = None

    def leave(self, connection: Connection) -> None:
        """Free the place of a connection, if it still has one."""
        self._known.pop(connection, None)
        if connection in self._strangers:
            del self._strangers[connection]
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def _crowded(self, address: str) -> bool:
        return len(self._strangers) >= self._most_strangers or self._addresses[address] >= self._most_of_address

    def _promote(self) -> None:
        """Mark connections as known if a valid key has come since their last request."""
        for each in [each for each in self._strangers if each.known]:
            self.used(each)

    def _close_one(self, candidates: Iterable[Connection]) -> bool:
        found = next((each for each in candidates if each.waiting), None)
        if found is None:
            return False
        self.leave(found)
        found.give_way()
        return True


class Turns:
    """A queue in which connections wait for their turn. They go on one at a time. Belongs to the event loop."""

    def __init__(self, seconds: float, most: float) -> None:
        """`seconds` lie between two turns; nobody waits longer than `most` seconds."""
        self._seconds, self._most, self._next = seconds, most, 0.0

    def wait(self, now: float, turns: int = 1) -> float:
        """Take the next turn, or some; the seconds until then."""
        self._next = max(now, self._next) + turns * self._seconds
        self._next = min(self._next, now + self._most)
        return self._next - now


class Pressure:
    """Which share of predictions is refused at once, because many come and the event loop is late all the time.

    A queue has a bound, but what waits in the kernel and in the loop itself before it has none. Nothing is refused
    while few predictions are under way: a late loop must not leave the engine without work. All are refused while as
    many are under way as the queue may hold: each makes the loop later, also before it is in the queue.

    Attributes:
        under_way: predictions that have come whole and are not answered yet.
    """

    def __init__(self, most: int = 256) -> None:
        """Begin without any; `most` may be under way."""
        self._most = max(most, _FREE)
        self._late: deque[float] = deque(maxlen=_TICKS)
        self._due: float | None = None
        self.under_way = self._begun = 0

    def tick(self, now: float, seconds: float) -> None:
        """Note how late this call is; the next one is due in so many seconds."""
        if self._due is not None:
            self._late.append(now - self._due)
        self._due, self._begun = now + seconds, 0

    @property
    def share(self) -> float:
        """Of predictions that are refused, beyond a few."""
        late = min(self._late) if len(self._late) == _TICKS else 0.0
        return min(1.0, max(0.0, (late - _LATE_SECONDS) / (_TOO_LATE_SECONDS - _LATE_SECONDS)))

    def check(self, *, whole: bool) -> None:
        """See whether one more prediction may come in, of which all or only a part has come.

        Raises:
            TooManyRequests: it may not.
        """
        self._begun += not whole
        many = self.under_way >= _FREE if whole else self._begun > _FREE_BEGUN
        if self.under_way >= self._most or (many and random.random() < self.share):
            raise TooManyRequests("requests come faster than this server can look at them")


def turns_of_bytes(settings: Settings) -> Turns:
    """One turn for each byte that is read of a large body."""
    return Turns(1 / settings.large_body_rate if settings.large_body_rate else 0.0, MOST_REST_SECONDS)
