"""What is known here of the bytes that versions name: nothing yet, that they can be served, or why they cannot.

What was found out once about a content is true of every version that names it, and of every task. It is forgotten
with the last of them. Safe from any thread: each fact is one assignment.
"""

import time
from dataclasses import dataclass
from threading import Lock
from weakref import WeakValueDictionary

from adapters_store import VersionInfo
from service.engine import Resident

RETRY_SECONDS = 30.0  # until a content that could not be served is tried again


@dataclass(slots=True, eq=False, weakref_slot=True)
class Content:
    """Bytes by their hash.

    Attributes:
        sha256: their hash.
        classes: how many a task with these bytes tells apart; None until they have been read.
        reason: why they cannot be served, where that was found out.
        retry_at: when that may have changed, in monotonic seconds.
    """

    sha256: str
    classes: int | None = None
    reason: str | None = None
    retry_at: float = 0.0

    def passed(self, resident: Resident) -> None:
        """They were read, and can be served."""
        self.classes, self.reason = len(resident.manifest.labels), None

    def failed(self, error: Exception) -> None:
        """They cannot be served."""
        self.classes, self.retry_at = None, time.monotonic() + RETRY_SECONDS
        self.reason = (type(error).__doc__ or "").strip()

    @property
    def due(self) -> bool:
        """Whether nothing is known yet, or nothing good and it may have changed."""
        return self.classes is None and not self.hopeless

    @property
    def hopeless(self) -> bool:
        """Whether trying to serve them would be too early."""
        return self.reason is not None and time.monotonic() < self.retry_at


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """One version of a task, whether its weights are in memory or not."""

    task: str
    info: VersionInfo
    content: Content


class Contents:
    """All contents that somebody speaks of, each of them one object."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakValueDictionary[str, Content] = WeakValueDictionary()

    def of(self, sha256: str) -> Content:
        """The content with this hash."""
        with self._lock:
            content = self._known.get(sha256)
            if content is None:
                content = self._known[sha256] = Content(sha256)
            return content
