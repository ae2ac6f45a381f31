"""The events of a store: the entries of its log, and their form as bytes.

Events are already decided; nothing here checks whether they are allowed. Entries are canonical JSON, read back
strictly.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

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
    """A sweep gave up blobs without a version. A writer that uploaded one before this entry must upload it again."""

    count: int


@dataclass(frozen=True, slots=True)
class EntryLost:
    """An entry could not be read; a repair put this in its place, so that the numbers of later entries stay."""

    reason: str


@dataclass(frozen=True, slots=True)
class StateRepaired:
    """A repair wrote down the whole state, because the entries before no longer lead to it."""

    state: Json  # as `adapters_store.state` writes it


Event = (
    VersionAdded
    | AliasMoved
    | AliasDeleted
    | VersionDeleted
    | TaskDeleted
    | TaskDescribed
    | Seeded
    | BlobsCollected
    | EntryLost
    | StateRepaired
)


@dataclass(frozen=True, slots=True)
class Change:
    """One numbered entry of the log. `nonce` makes each entry unique, so that a writer recognises its own.

    `previous` chains the entries: a reader of the last entry can check that all earlier ones are unchanged.
    """

    generation: int
    at: float  # seconds since 1970, for people; no decision depends on it
    nonce: str
    event: Event
    previous: str = ""  # hash of the entry before, empty for the first


FORMAT = 1  # of log entries and snapshots; a change that an older release would misread counts it up
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
    "entry_lost": EntryLost,
    "state_repaired": StateRepaired,
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
    previous: str
    format: int


def encode_change(change: Change) -> bytes:
    """Return a log entry as bytes."""
    entry = {
        "generation": change.generation,
        "at": change.at,
        "nonce": change.nonce,
        "kind": _NAMES[type(change.event)],
        "event": change.event,
        "previous": change.previous,
        "format": FORMAT,
    }
    return canonical(entry).encode()


def decode_change(data: bytes) -> Change:
    """Read a log entry.

    Raises:
        CorruptLog: The bytes are not a log entry of this release, or not in its canonical form.
    """
    with as_corrupt_log():
        values = parse_log_object(data)
        if values.get("format") != FORMAT:
            raise CorruptLog(f"log format {shown(values.get('format'))}, this release reads {FORMAT}")
        entry = read_dataclass(_Entry, values, "entry")
        if entry.kind not in _KINDS:
            raise CorruptLog(f"this release knows no event {shown(entry.kind)}")
        event = read_dataclass(_KINDS[entry.kind], entry.event, "event")
    change = Change(entry.generation, entry.at, entry.nonce, event, entry.previous)
    if encode_change(change) != data:
        raise CorruptLog("unreadable: not in the canonical form")  # its hash would not be the one that is chained
    return change


def hash_entry(data: bytes) -> str:
    """Return the SHA-256 (hex) by which the next entry refers to this one."""
    return sha256(data).hexdigest()


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
