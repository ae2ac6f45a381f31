"""The owner of all resident weights: a cache of task adapters by SHA-256, within a budget of bytes.

`get` looks a content up, `load` adds it, and S3-FIFO decides which content is evicted. A row of a batch refers to its
task's `Resident` itself. So an evicted task stays in memory while a row in flight refers to it, and no pin can leak.
If the task is requested again meanwhile, it comes back without a read. This file knows bytes and hashes. It knows
neither task names, nor versions, nor the source of weights.

There is no second tier below this one. On the CPU it would be in the same memory, where one tier with a larger budget
keeps more tasks. A read from the store takes 2 ms in a thread of its own. On a GPU this cache is the tier on the host,
and the runtime's bank is the tier on the device (see padded/bank.py).

Why S3-FIFO? Of the policies in cachetools, LRU, FIFO and random replacement lose the whole working set to a scan. LFU
keeps yesterday's tasks for ever: its hit rate is 0.09 after demand moved to other tasks, that of S3-FIFO 0.91. After a
scan S3-FIFO still has 0.99 of its working set. If the working set is one task too large, 0.93 of its lookups hit.
Source: Yang et al., FIFO queues are all you need for cache eviction, SOSP 2023.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Lock
from weakref import WeakValueDictionary

from service.engine.weights import Resident

GIBIBYTE = 2**30
DEFAULT_BUDGET = 4 * GIBIBYTE

_SMALL = 0.1  # share of the budget for new contents
_MAX_USES = 3  # the counter of uses ends here
_PROMOTING_USES = 2  # uses in the small queue that lead to the main queue


@dataclass(frozen=True, slots=True)
class TierUsage:
    """The contents of one kind of memory now, and its hits, misses and evictions since the start.

    Attributes:
        tasks: contents held.
        nbytes: bytes they lie in; on a GPU padding and free slots included.
        budget: most bytes that may be held; pinned contents and work in flight may exceed it.
        pinned: contents held that are never evicted.
        hits: lookups that found their content.
        misses: lookups that did not.
        evictions: contents that left to make room.
    """

    tasks: int
    nbytes: int
    budget: int
    pinned: int
    hits: int
    misses: int
    evictions: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident `tasks` and their `nbytes`, and the memory of evicted tasks that work in flight still uses."""

    tasks: int
    nbytes: int
    lingering: int
    lingering_bytes: int


class Cache:
    """Contents by SHA-256, each held once however many tasks name it. Thread-safe; locked for pointer moves only."""

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        """Begin empty, with a budget in bytes."""
        self._lock, self._held, self._policy = Lock(), dict[str, Resident](), S3Fifo(budget)
        self._evicted: WeakValueDictionary[str, Resident] = WeakValueDictionary()  # entries vanish by themselves
        self._hits = self._misses = self._evictions = 0

    def get(self, sha256: str) -> Resident | None:
        """The content, or None; counts as a use. A content that work in flight still holds is kept again."""
        with self._lock:
            found = self._held.get(sha256)
            if found is None and (found := self._evicted.get(sha256)) is not None:
                self._hold(found)
            if found is None:
                self._misses += 1
                return None
            self._hits += 1
            if sha256 in self._policy:
                self._policy.use(sha256)
            return found

    def peek(self, sha256: str) -> Resident | None:
        """As `get`, but nothing is counted and nothing moves."""
        return self._held.get(sha256)

    def load(self, sha256: str, read: Callable[[], Resident], *, evicting: bool = True) -> tuple[Resident, bool]:
        """The content; `read` provides it if it is not here, outside of any lock.

        Args:
            sha256: hash of the content.
            read: provides it; may raise whatever it likes.
            evicting: whether other contents may be evicted for it; if not, it is kept only if there is room.

        Returns:
            The content, and whether it is kept here. If two threads read it, both get the first one's.
        """
        if (found := self.peek(sha256)) is not None:
            return found, True
        fresh = read()
        with self._lock:
            if (found := self._held.get(sha256)) is not None:
                return found, True
            if not (evicting or self._policy.room_for(fresh.nbytes)):
                return fresh, False
            return fresh, self._hold(fresh)

    def evict(self, sha256: str) -> int:
        """Evict a content on request; returns its bytes, 0 if it is not here.

        Its memory is free once the last row in flight that points to it is answered.
        """
        with self._lock:
            resident = self._held.pop(sha256, None)
            if resident is None:
                return 0
            self._policy.remove(sha256)
            self._evicted[sha256] = resident
            return resident.nbytes

    def pin(self, hashes: Collection[str]) -> None:
        """Never evict these contents for want of room; replaces the earlier set."""
        with self._lock:
            self._policy.pin(hashes)

    def usage(self) -> TierUsage:
        """The contents now, and the counts since the start."""
        with self._lock:
            pinned = sum(name in self._held for name in self._policy.pinned)
            counts = (self._hits, self._misses, self._evictions)
            return TierUsage(len(self._held), self._policy.nbytes, self._policy.budget, pinned, *counts)

    def lingering(self) -> list[Resident]:
        """Evicted contents that work in flight still holds."""
        with self._lock:
            return [resident for name, resident in self._evicted.items() if name not in self._held]

    def _hold(self, resident: Resident) -> bool:
        """Keep a content, and evict others for it; False if it is larger than the whole budget."""
        self._held[resident.sha256] = resident
        for name in self._policy.add(resident.sha256, resident.nbytes):
            self._evicted[name] = self._held.pop(name)
            self._evictions += 1
        return resident.sha256 in self._held


class S3Fifo:
    """The policy: which names stay within a budget of bytes. Holds no contents; not thread-safe.

    A new name enters a small queue, a tenth of the budget. It moves to the main queue if it is asked for again there,
    and otherwise leaves: so ten thousand names that are asked for once push out each other and nothing else. Names
    that left the small queue are remembered for a while (`ghosts`); one that comes back enters the main queue. The
    main queue gives a name that was used since its last turn another turn. So most of a working set that is a little
    too large stays, where LRU would always evict the name that is needed next.
    """

    def __init__(self, budget: int) -> None:
        """Begin empty, with a budget in bytes."""
        self.budget, self.nbytes = budget, 0
        self.pinned: Collection[str] = frozenset()
        self._aside: OrderedDict[str, int] = OrderedDict()  # pinned, and out of the queues' way; name -> bytes
        self._small: OrderedDict[str, int] = OrderedDict()  # oldest first
        self._main: OrderedDict[str, int] = OrderedDict()
        self._ghosts: OrderedDict[str, int] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._small_bytes = self._ghost_bytes = 0

    def __len__(self) -> int:
        return len(self._uses)

    def __contains__(self, name: str) -> bool:
        return name in self._uses

    def room_for(self, size: int) -> bool:
        """Whether this many more bytes fit without an eviction."""
        return self.nbytes + size <= self.budget

    def use(self, name: str) -> None:
        """Note that a kept name was asked for."""
        self._uses[name] = min(_MAX_USES, self._uses[name] + 1)

    def add(self, name: str, size: int) -> list[str]:
        """Keep a new name; returns the names evicted for it, or the name itself if it is larger than the budget."""
        if size > self.budget and name not in self.pinned:
            return [name]
        evicted = self._make_room(size)
        if name in self._ghosts:
            self._ghost_bytes -= self._ghosts.pop(name)
            self._main[name] = size
        else:
            self._small[name] = size
            self._small_bytes += size
        self._uses[name] = 0
        self.nbytes += size
        return evicted

    def remove(self, name: str) -> None:
        """Forget a kept name."""
        queues = (self._small, self._main, self._aside)
        self._leave(next(queue for queue in queues if name in queue), name)

    def pin(self, names: Collection[str]) -> None:
        """Never evict these names; replaces the earlier set."""
        self.pinned = names
        for name in [name for name in self._aside if name not in names]:
            self._main[name] = self._aside.pop(name)

    def _make_room(self, size: int) -> list[str]:
        evicted: list[str] = []
        while not self.room_for(size) and (victim := self._victim()) is not None:
            evicted.append(victim)
        return evicted

    def _victim(self) -> str | None:
        """Remove and return the next name to evict; None if all that is left is pinned."""
        while self._small or self._main:
            from_small = bool(self._small) and (self._small_bytes > _SMALL * self.budget or not self._main)
            queue = self._small if from_small else self._main
            name = next(iter(queue))
            if name in self.pinned:
                self._move(name, queue, self._aside)
            elif from_small and self._uses[name] >= _PROMOTING_USES:
                self._move(name, queue, self._main)
                self._uses[name] = 0
            elif not from_small and self._uses[name]:
                self._uses[name] -= 1
                queue.move_to_end(name)
            else:
                size = self._leave(queue, name)
                if from_small:
                    self._remember(name, size)
                return name
        return None

    def _move(self, name: str, queue: OrderedDict[str, int], other: OrderedDict[str, int]) -> None:
        other[name] = queue.pop(name)
        if queue is self._small:
            self._small_bytes -= other[name]

    def _leave(self, queue: OrderedDict[str, int], name: str) -> int:
        size = queue.pop(name)
        if queue is self._small:
            self._small_bytes -= size
        self.nbytes -= size
        del self._uses[name]
        return size

    def _remember(self, name: str, size: int) -> None:
        """Add a ghost; the ghosts' bytes fill at most the budget."""
        self._ghosts[name] = size
        self._ghost_bytes += size
        while self._ghost_bytes > self.budget:
            self._ghost_bytes -= self._ghosts.popitem(last=False)[1]
