"""The table of published tasks: their aliases, the versions behind them, and why a task cannot be served.

Records are immutable, except `Content`, which remembers the result of its last load.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakValueDictionary

from adapters_store import AdaptersStoreError, Manifest, VersionInfo
from adapters_store.errors import ArtifactError, Damaged
from service.engine import AdmissionError, EngineError, Resident
from service.errors import NoLiveVersion, TaskDamaged, TaskRefused, TaskUnavailable, TaskUnloaded

ALIAS = "live"
RETRY_SECONDS = 30.0  # before a content that could not be loaded is tried again


@dataclass(slots=True, eq=False, weakref_slot=True)
class Content:
    """The bytes of a version, named by their hash, and the result of their last load.

    The result holds for every version with these bytes. Safe from any thread: each fact is one assignment.

    Attributes:
        sha256: their hash.
        classes: K, the number of labels; None until they have been loaded.
        live_sites: with at least one neuron; None until they have been loaded.
        flops_saved: for one image, against the initial widths; None until they have been loaded.
        reason: why they cannot be served; None while no load has failed.
        kind: the error that says so.
        retry_at: monotonic seconds, before which a failed load is not repeated.
    """

    sha256: str
    classes: int | None = None
    live_sites: int | None = None
    flops_saved: int | None = None
    reason: str | None = None
    kind: type[TaskUnavailable] = TaskUnavailable
    retry_at: float = 0.0

    def passed(self, resident: Resident) -> None:
        """A load has succeeded."""
        self.live_sites, self.flops_saved = len(resident.sites), resident.cost.saved
        self.classes, self.reason = len(resident.manifest.labels), None

    def failed(self, error: AdaptersStoreError | EngineError) -> None:
        """A load has failed."""
        self.classes, self.retry_at = None, time.monotonic() + RETRY_SECONDS
        refused, damaged = isinstance(error, ArtifactError | AdmissionError), isinstance(error, Damaged)
        self.kind = TaskRefused if refused else TaskDamaged if damaged else TaskUnavailable
        self.reason = error.title

    def unavailable(self, what: str) -> TaskUnavailable:
        """The error that says why `what`, a task or a version, cannot answer."""
        return self.kind(f"{what} cannot be served here: {self.reason}")

    @property
    def wants_load(self) -> bool:
        """Whether they have not been loaded, and a load may be tried now."""
        return self.classes is None and not self.must_wait

    @property
    def must_wait(self) -> bool:
        """Whether a load has failed, and it is too early to try again."""
        return self.reason is not None and time.monotonic() < self.retry_at


@dataclass(frozen=True, slots=True, eq=False)
class TaskVersion:
    """One version of a task, whether its weights are in memory or not."""

    task: str
    info: VersionInfo
    content: Content


class Contents:
    """Gives every content one object, which is forgotten with the last version that has it."""

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


@dataclass(frozen=True, slots=True, eq=False)
class LoadedVersion:
    """One version of a task with its weights in memory."""

    task: str
    info: VersionInfo
    manifest: Manifest
    resident: Resident


@dataclass(frozen=True, slots=True, eq=False)
class AliasTarget:
    """The versions that an alias points at, with their share of the traffic; or why there are none."""

    split: tuple[tuple[TaskVersion, int], ...] = ()
    never: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it cannot answer; None while no load has failed."""
        return self.never or next((named.content.reason for named, _ in self.split if named.content.reason), None)

    def unavailable(self) -> TaskUnavailable:
        """The error that says why it cannot answer."""
        for named, _ in self.split:
            if named.content.reason:
                return named.content.unavailable("this task")
        kind = TaskUnloaded if self.never == SUSPENDED.never else NoLiveVersion
        return kind(f"this task cannot be served here: {self.never}")

    @property
    def must_wait(self) -> bool:
        """Whether a request cannot be answered now, and a load must not be tried yet."""
        return self.never is not None or any(named.content.must_wait for named, _ in self.split)


_NOT_LIVE = AliasTarget(never="no version is live")
SUSPENDED = AliasTarget(never="unloaded on this server")


@dataclass(frozen=True, slots=True, eq=False)
class TaskEntry:
    """A published task: its aliases with their targets, and its versions."""

    generation: int
    targets: Mapping[str, AliasTarget] = field(default_factory=dict)
    versions: Mapping[int, VersionInfo] = field(default_factory=dict)

    @property
    def live(self) -> AliasTarget:
        """The target of the alias `live`, which answers unless another alias is asked."""
        return self.targets.get(ALIAS, _NOT_LIVE)

    @property
    def split(self) -> tuple[tuple[TaskVersion, int], ...]:
        """The live versions with their weights."""
        return self.live.split

    @property
    def reason(self) -> str | None:
        """Why no live version answers; None if one does."""
        return self.live.reason

    def aliased(self) -> Iterator[TaskVersion]:
        """Every version that an alias points at; a version may come more than once."""
        return (named for target in self.targets.values() for named, _ in target.split)


Table = Mapping[str, TaskEntry]


class ContentReferences:
    """Counts how often a table names each content; updated entry by entry, so that one change among many is cheap."""

    def __init__(self) -> None:
        """Begin with an empty table."""
        self._aliases: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()

    def aliased(self, sha256: str) -> bool:
        """Whether any alias points at a version with this content."""
        return sha256 in self._aliases

    def named(self, sha256: str) -> bool:
        """Whether any version has this content."""
        return sha256 in self._versions

    def replace(self, before: Iterable[TaskEntry], after: Iterable[TaskEntry]) -> set[str]:
        """Replace entries; returns the contents that lost their last alias or their last version."""
        for entry in after:
            self._aliases.update(_aliased(entry))
            self._versions.update(_versions(entry))
        lost: set[str] = set()
        for entry in before:
            lost |= _take(self._aliases, _aliased(entry)) | _take(self._versions, _versions(entry))
        return lost


def _aliased(entry: TaskEntry) -> list[str]:
    return [named.info.sha256 for named in entry.aliased()]


def _versions(entry: TaskEntry) -> list[str]:
    return [info.sha256 for info in entry.versions.values()]


def _take(counts: Counter[str], names: list[str]) -> set[str]:
    """Decrement each name; returns the names that reached zero."""
    gone = set()
    for name in names:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]
            gone.add(name)
    return gone
