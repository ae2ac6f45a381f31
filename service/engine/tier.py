"""One tier of memory: contents by SHA-256 within a budget of bytes, and counters of what became of them. Thread-safe.

Locked for pointer moves only. What goes to make room is handed back to the caller, who may put it a tier further down.
"""

from collections.abc import Collection
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Protocol, TypeVar

from service.engine.eviction import Eviction


class Sized(Protocol):
    """What a tier holds."""

    @property
    def sha256(self) -> str:
        """Of the content."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that it lies in."""
        ...


T = TypeVar("T", bound=Sized)


@dataclass(frozen=True, slots=True)
class TierUsage:
    """What a tier holds now, and what happened in it since the start.

    Attributes:
        tasks: contents held.
        nbytes: bytes of what is held.
        budget: most bytes that may be held, but for what is pinned.
        pinned: contents held that never go.
        hits: times that what was asked for was there.
        misses: times that it was not.
        evictions: contents that went to make room.
    """

    tasks: int
    nbytes: int
    budget: int
    pinned: int
    hits: int
    misses: int
    evictions: int


class Tier(Generic[T]):
    """Contents within a budget."""

    def __init__(self, budget: int) -> None:
        """Begin empty, with a budget in bytes."""
        self._lock, self._held = Lock(), dict[str, T]()
        self._eviction = Eviction(budget)
        self._hits = self._misses = self._evictions = 0

    def get(self, sha256: str) -> T | None:
        """What was asked for, if it is here; counts."""
        with self._lock:
            found = self._held.get(sha256)
            if found is None:
                self._misses += 1
            else:
                self._hits += 1
                self._eviction.use(sha256)
            return found

    def peek(self, sha256: str) -> T | None:
        """As `get`, unseen: it counts for nothing, and keeps nothing here for longer."""
        return self._held.get(sha256)

    def put(self, item: T, *, evicting: bool = True) -> tuple[T, list[T]]:
        """Hold a content.

        Args:
            item: what to hold; the one already here stays where the content is not new.
            evicting: whether others may go for it; where not and there is no room, it is what goes.

        Returns:
            The one to use, and what went: the item itself where it found no room.
        """
        with self._lock:
            if (held := self._held.get(item.sha256)) is not None:
                return held, []
            if not (evicting or self._eviction.room_for(item.nbytes)):
                return item, [item]
            names = self._eviction.add(item.sha256, item.nbytes)
            self._held[item.sha256] = item
            gone = [self._held.pop(name) for name in names]
            self._evictions += len(gone)
            return item, gone

    def take(self, sha256: str) -> T | None:
        """Let go of a content, by order and not for want of room."""
        with self._lock:
            item = self._held.pop(sha256, None)
            if item is not None:
                self._eviction.remove(sha256)
            return item

    def pin(self, names: Collection[str]) -> None:
        """Let these contents, and no others, never go."""
        with self._lock:
            self._eviction.pin(names)

    def usage(self) -> TierUsage:
        """What is held and what happened."""
        with self._lock:
            pinned = sum(name in self._held for name in self._eviction.pinned)
            nbytes, budget = self._eviction.nbytes, self._eviction.budget
            return TierUsage(len(self._held), nbytes, budget, pinned, self._hits, self._misses, self._evictions)
