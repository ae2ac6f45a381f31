"""What the registry knows of tasks: the names that answer, the versions behind them, and why one does not answer.

Plain immutable records, but for what is found out about a content while it is loaded.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakValueDictionary

from adapters_store import Manifest, VersionInfo
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
        self.reason = (getattr(error, "title", "") or type(error).__doc__ or str(error)).strip()

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


ALIAS = "live"


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One version of a task, ready to answer."""

    task: str
    info: VersionInfo
    manifest: Manifest
    resident: Resident


@dataclass(frozen=True, slots=True, eq=False)
class Pointer:
    """What an alias stands for: versions with their weights, or why there is none."""

    split: tuple[tuple[Named, int], ...] = ()
    never: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it does not answer, as far as is known."""
        return self.never or next((named.content.reason for named, _ in self.split if named.content.reason), None)

    @property
    def hopeless(self) -> bool:
        """Whether asking it would be too early."""
        return self.never is not None or any(named.content.hopeless for named, _ in self.split)


_NOT_LIVE = Pointer(never="no version is live")
SUSPENDED = Pointer(never="unloaded on this server")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What a task name stands for: each alias with what it points at."""

    generation: int
    pointers: Mapping[str, Pointer] = field(default_factory=dict)
    versions: Mapping[int, VersionInfo] = field(default_factory=dict)

    @property
    def live(self) -> Pointer:
        """What answers unless another alias is asked for."""
        return self.pointers.get(ALIAS, _NOT_LIVE)

    @property
    def split(self) -> tuple[tuple[Named, int], ...]:
        """The live versions with their weights."""
        return self.live.split

    @property
    def reason(self) -> str | None:
        """Why no version answers, where none does."""
        return self.live.reason

    def named(self) -> Iterator[Named]:
        """Every version that an alias points at; one may come more than once."""
        return (named for pointer in self.pointers.values() for named, _ in pointer.split)


Table = Mapping[str, Entry]


class References:
    """How often a table's entries name each content, kept up entry by entry: a swap among thousands costs its own."""

    def __init__(self) -> None:
        """Of an empty table."""
        self._aliases: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()

    def aliased(self, sha256: str) -> bool:
        """Whether any alias points at it."""
        return sha256 in self._aliases

    def named(self, sha256: str) -> bool:
        """Whether any version has it."""
        return sha256 in self._versions

    def replace(self, before: Iterable[Entry], after: Iterable[Entry]) -> set[str]:
        """Count other entries in the place of some; returns the contents that lost their last alias or version."""
        for entry in after:
            self._aliases.update(_aliased(entry))
            self._versions.update(_versions(entry))
        lost: set[str] = set()
        for entry in before:
            lost |= _take(self._aliases, _aliased(entry)) | _take(self._versions, _versions(entry))
        return lost


def _aliased(entry: Entry) -> list[str]:
    return [named.info.sha256 for named in entry.named()]


def _versions(entry: Entry) -> list[str]:
    return [info.sha256 for info in entry.versions.values()]


def _take(counts: Counter[str], names: list[str]) -> set[str]:
    """Count each name once less; returns those that are gone."""
    gone = set()
    for name in names:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]
            gone.add(name)
    return gone
