"""Label values whose number is bounded: a fixed number have series of their own, all others share one name.

A counter must never decrease, so counts are never moved between series. A name that gets a place starts at zero. A
name that loses its place loses its series, and is counted with the others from then on.
"""

import time
from collections.abc import Callable, Container

OTHER = "_other"  # no task, version or key looks like this

_HALVED_AFTER = 100_000  # uses, after which all counts are halved, so that old traffic keeps no place
_MARGIN = 8  # uses


class HeavyHitters:
    """Gives the most used names a place. A name takes the least used one's place only when it is used twice as much."""

    def __init__(self, places: int, *, on_out: Callable[[str], None] = lambda name: None) -> None:
        """Begin empty; `on_out` is called with a name that loses its place."""
        self._places, self._on_out = places, on_out
        self._uses: dict[str, int] = {}
        self._named: set[str] = set()
        self._counted = 0

    def __contains__(self, name: object) -> bool:
        """Whether a name has a place."""
        return name in self._named

    def label(self, name: str) -> str:
        """Count one use of a name; returns its label."""
        self._count(name)
        if name not in self._named and not self._enter(name):
            return OTHER
        return name

    def forget(self, name: str) -> None:
        """Remove a name and free its place, without calling `on_out`."""
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


class RecentlyUsed:
    """Gives the recently used values of each name a place, such as the versions of a task.

    A value loses its place after it has been idle for long enough that its last count was scraped. While no value is
    idle, a further one is counted with the others.
    """

    def __init__(
        self,
        places: int,
        *,
        idle_seconds: float,
        on_out: Callable[[str, str], None] = lambda name, value: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin empty; each name has `places`. `on_out` is called with a name and its value that loses its place."""
        self._places, self._idle, self._on_out, self._clock = places, idle_seconds, on_out, clock
        self._used: dict[str, dict[str, float]] = {}

    def label(self, name: str, value: str) -> str:
        """Count one use of a value; returns its label."""
        used, now = self._used.setdefault(name, {}), self._clock()
        if value not in used and len(used) >= self._places:
            oldest = min(used, key=used.__getitem__)
            if now - used[oldest] < self._idle:
                return OTHER
            self._leave(name, oldest)
        used[value] = now
        return value

    def expire(self, kept: Container[tuple[str, str]]) -> None:
        """Remove idle values, except for these."""
        end = self._clock() - self._idle
        idle = [(name, value) for name, used in self._used.items() for value, at in used.items() if at <= end]
        for name, value in idle:
            if (name, value) not in kept:
                self._leave(name, value)

    def forget(self, name: str) -> None:
        """Remove a name with all its values, without calling `on_out`."""
        self._used.pop(name, None)

    def _leave(self, name: str, value: str) -> None:
        del self._used[name][value]
        self._on_out(name, value)
