"""Recent images of predictions, so that a correction can name one by its request's id. Nothing goes to the disk.

It costs at most the bytes of the setting, and holds an image for at most its seconds. The oldest leaves first.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.errors import UnknownRequest
from service.feedback.storage import Opinion


@dataclass(frozen=True, slots=True)
class Seen:
    """An image of a prediction, and what the task said about it."""

    image: bytes
    opinion: Opinion


@dataclass(frozen=True, slots=True)
class _Entry:
    seen: tuple[Seen, ...]
    at: float  # monotonic seconds
    size: int


class Recent:
    """The latest images by request id and task. Belongs to the event loop."""

    def __init__(self, *, most_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is remembered at first; with 0 bytes nothing ever is."""
        self._most, self._seconds, self._clock = most_bytes, seconds, clock
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self.size = 0  # bytes

    def remember(self, request: str, task: str, seen: Sequence[Seen]) -> None:
        """Remember the images of a request, unless they are larger than everything that may be remembered."""
        self._forget((request, task))
        size = sum(len(each.image) for each in seen)
        if not seen or size > self._most:
            return
        self._entries[request, task] = _Entry(tuple(seen), self._clock(), size)
        self.size += size
        self._trim()

    def recall(self, request: str, task: str, index: int) -> Seen:
        """Image `index`, from 0, of a request.

        Raises:
            UnknownRequest: it is not remembered, or has no such image.
        """
        self._trim()
        entry = self._entries.get((request, task))
        if entry is None or index >= len(entry.seen):
            raise UnknownRequest("no image of this request is remembered: send the image itself")
        return entry.seen[index]

    def _trim(self) -> None:
        oldest = self._clock() - self._seconds
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if self.size <= self._most and entry.at >= oldest:
                return
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size
