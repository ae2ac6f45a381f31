"""What can happen to the store: the entries of its log, and each entry as bytes.

Events are facts, already decided; nothing here judges them. Entries are canonical JSON, read back strictly.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from adapters_store.errors import ArtifactError, CorruptLog
from adapters_store.strict_json import Json, canonical, parse_object, read_dataclass, shown


@dataclass(frozen=True, slots=True)
class VersionAdded:
    """A task got a version, and an alias (none if empty) now points at it."""

    task: str
    version: int
    sha256: str
    size: int  # bytes
    blob: str  # name of the bytes in this backend
    alias: str


@dataclass(frozen=True, slots=True)
class AliasMoved:
    """An alias points at one version, or splits its traffic by weight."""

    task: str
    alias: str
    split: Mapping[int, int]  # version -> weight


@dataclass(frozen=True, slots=True)
class AliasDeleted:
    """An alias was deleted; the versions stay."""

    task: str
    alias: str


@dataclass(frozen=True, slots=True)
class VersionDeleted:
    """A version was deleted; its number is never used again."""

    task: str
    version: int


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A task was deleted with its versions and aliases; its last version number is remembered."""

    task: str


@dataclass(frozen=True, slots=True)
class TaskDescribed:
    """A task got a description of its own. Empty: the description in its task adapter file holds again."""

    task: str
    text: str


@dataclass(frozen=True, slots=True)
class Seeded:
    """The first entry of a store that began with bundled tasks."""

    added: tuple[VersionAdded, ...]


@dataclass(frozen=True, slots=True)
class BlobsCollected:
    """A sweep gave up blobs that no version named. Whoever uploaded one before this entry must upload it again."""

    count: int


Event = (
    VersionAdded | AliasMoved | AliasDeleted | VersionDeleted | TaskDeleted | TaskDescribed | Seeded | BlobsCollected
)


@dataclass(frozen=True, slots=True)
class Change:
    """One numbered entry of the log. `nonce` makes each entry unique, so that a writer recognises its own."""

    generation: int
    at: float  # seconds since 1970, for people; no decision depends on it
    nonce: str
    event: Event


DEEPEST = 8  # levels of JSON that any entry or snapshot needs

_KINDS: dict[str, type[Event]] = {
    "version_added": VersionAdded,
    "alias_moved": AliasMoved,
    "alias_deleted": AliasDeleted,
    "version_deleted": VersionDeleted,
    "task_deleted": TaskDeleted,
    "task_described": TaskDescribed,
    "seeded": Seeded,
    "blobs_collected": BlobsCollected,
}
_NAMES = {event: kind for kind, event in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A change as it is written: the event, and the name of its kind."""

    generation: int
    at: float
    nonce: str
    kind: str
    event: Json


def encode_change(change: Change) -> bytes:
    """Return a log entry as bytes."""
    kind = _NAMES[type(change.event)]
    entry = {"generation": change.generation, "at": change.at, "nonce": change.nonce, "kind": kind}
    return canonical({**entry, "event": change.event}).encode()


def decode_change(data: bytes) -> Change:
    """Read a log entry.

    Raises:
        CorruptLog: The bytes are not a log entry of this release.
    """
    with as_corrupt_log():
        entry = read_dataclass(_Entry, parse_log_object(data), "entry")
        if entry.kind not in _KINDS:
            raise CorruptLog(f"this release knows no event {shown(entry.kind)}")
        event = read_dataclass(_KINDS[entry.kind], entry.event, "event")
        return Change(entry.generation, entry.at, entry.nonce, event)


def parse_log_object(data: bytes) -> dict[str, Json]:
    """Return the JSON object in an entry or a snapshot."""
    return parse_object(data.decode("utf-8"), max_depth=DEEPEST)


@contextmanager
def as_corrupt_log() -> Iterator[None]:
    """Turn the errors of reading JSON into CorruptLog."""
    try:
        yield
    except (ArtifactError, UnicodeDecodeError) as error:
        raise CorruptLog(f"unreadable: {error}") from error
