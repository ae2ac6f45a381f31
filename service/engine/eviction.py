"""Which of many contents stay within a budget of bytes: S3-FIFO, which neither a scan nor a loop can fool.

What is new enters a small queue, a tenth of the budget, and leaves it for the main queue only if it was asked for
again: ten thousand contents that are asked for once push each other out, and nothing else. What leaves the small
queue unloved is remembered by name for a while, and goes straight to the main queue if it comes back. The main queue
gives what was asked for since its last turn another turn, so that of a working set a little larger than the budget
most stays, where the least recently used would always be the next one needed.

Knows names and sizes; holds nothing. Not thread-safe: a tier guards it.

Source: Yang et al., FIFO queues are all you need for cache eviction, SOSP 2023.
"""

from collections import OrderedDict
from collections.abc import Collection

_SMALL = 0.1  # share of the budget for what is new
_MOST_USES = 3  # more are not told apart
_LOVED = 2  # uses in the small queue that lead to the main queue


class Eviction:
    """Keeps account of what is kept, and says what must go."""

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
        """Whether so many bytes more fit without anything going."""
        return self.nbytes + size <= self.budget

    def use(self, name: str) -> None:
        """Note that a kept name was asked for."""
        self._uses[name] = min(_MOST_USES, self._uses[name] + 1)

    def add(self, name: str, size: int) -> list[str]:
        """Keep a new name; returns what goes for it: the name itself where it is larger than the whole budget."""
        if size > self.budget and name not in self.pinned:
            return [name]
        gone = self._make_room(size)
        if name in self._ghosts:
            self._ghost_bytes -= self._ghosts.pop(name)
            self._main[name] = size
        else:
            self._small[name] = size
            self._small_bytes += size
        self._uses[name] = 0
        self.nbytes += size
        return gone

    def remove(self, name: str) -> None:
        """Forget a kept name."""
        queues = (self._small, self._main, self._aside)
        self._leave(next(queue for queue in queues if name in queue), name)

    def pin(self, names: Collection[str]) -> None:
        """Let these names, and no others, stay whatever comes."""
        self.pinned = names
        for name in [name for name in self._aside if name not in names]:
            self._main[name] = self._aside.pop(name)

    def _make_room(self, size: int) -> list[str]:
        gone: list[str] = []
        while not self.room_for(size) and (victim := self._victim()) is not None:
            gone.append(victim)
        return gone

    def _victim(self) -> str | None:
        """Remove and name what goes next; None where all that is left is pinned."""
        while self._small or self._main:
            from_small = bool(self._small) and (self._small_bytes > _SMALL * self.budget or not self._main)
            queue = self._small if from_small else self._main
            name = next(iter(queue))
            if name in self.pinned:
                self._move(name, queue, self._aside)
            elif from_small and self._uses[name] >= _LOVED:
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
        """As a ghost; ghosts are as many as would fill the budget."""
        self._ghosts[name] = size
        self._ghost_bytes += size
        while self._ghost_bytes > self.budget:
            self._ghost_bytes -= self._ghosts.popitem(last=False)[1]
