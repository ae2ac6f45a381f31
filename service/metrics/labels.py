"""Label values that cannot grow without bound: so many have series of their own, the others share one name.

A counter must never fall. So nothing is moved between series: who gets a place starts at nothing under its own name,
and who loses it loses its series, and is counted with the others from then on.
"""

import time
from collections.abc import Callable, Container

OTHER = "_other"  # no task, version or key looks like this

_HALVED_AFTER = 100_000  # uses: half of what is older is forgotten, so that yesterday's traffic keeps no place
_MARGIN = 8  # uses


class Busiest:
    """The names used most have places; a name takes the least busy one's when it is twice as busy, not at each turn."""

    def __init__(self, places: int, *, on_out: Callable[[str], None] = lambda name: None) -> None:
        """Begin empty; `on_out` is told who lost its place."""
        self._places, self._on_out = places, on_out
        self._uses: dict[str, int] = {}
        self._named: set[str] = set()
        self._counted = 0

    def __contains__(self, name: object) -> bool:
        """Whether a name has a place."""
        return name in self._named

    def label(self, name: str) -> str:
        """Count one use of a name; returns what it is called in labels."""
        self._count(name)
        if name not in self._named and not self._enter(name):
            return OTHER
        return name

    def forget(self, name: str) -> None:
        """A name is gone, and its place is free; nobody is told."""
        self._named.discard(name)
        self._uses.pop(name, None)

    def _count(self, name: str) -> None:
        self._uses[name] = self._uses.get(name, 0) + 1
        self._counted += 1
        if self._counted >= _HALVED_AFTER:
            self._counted = 0
            self._uses = {each: uses // 2 for each, uses in self._uses.items() if uses > 1 or each in self._named}

    def _enter(self, name: str) -> bool:
        if len(self._named) >= self._places:
            least = min(self._named, key=self._uses.__getitem__)
            if self._uses[name] <= 2 * self._uses[least] + _MARGIN:
                return False
            self._named.remove(least)
            self._on_out(least)
        self._named.add(name)
        return True


class Recent:
    """Values below a name, such as the versions of a task. One that was not used for long enough, so that its last
    count has been scraped, makes room; while none is idle, a further one is counted with the others.
    """

    def __init__(
        self,
        places: int,
        *,
        idle_seconds: float,
        on_out: Callable[[str, str], None] = lambda name, value: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin empty; `places` are for each name, and `on_out` is told which value of a name lost its place."""
        self._places, self._idle, self._on_out, self._clock = places, idle_seconds, on_out, clock
        self._used: dict[str, dict[str, float]] = {}

    def label(self, name: str, value: str) -> str:
        """Note one use of a name's value; returns what it is called in labels."""
        used, now = self._used.setdefault(name, {}), self._clock()
        if value not in used and len(used) >= self._places:
            oldest = min(used, key=used.__getitem__)
            if now - used[oldest] < self._idle:
                return OTHER
            self._leave(name, oldest)
        used[value] = now
        return value

    def expire(self, kept: Container[tuple[str, str]]) -> None:
        """Let go of idle values, except for these."""
        end = self._clock() - self._idle
        idle = [(name, value) for name, used in self._used.items() for value, at in used.items() if at <= end]
        for name, value in idle:
            if (name, value) not in kept:
                self._leave(name, value)

    def forget(self, name: str) -> None:
        """A name is gone with all its values; nobody is told."""
        self._used.pop(name, None)

    def _leave(self, name: str, value: str) -> None:
        del self._used[name][value]
        self._on_out(name, value)
