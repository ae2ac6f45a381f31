"""Log entries and snapshots as canonical JSON bytes, read back strictly. It applies nothing and opens nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from adapters_store.errors import ArtifactError
from adapters_store.events import (
    AliasDeleted,
    AliasMoved,
    BlobsCollected,
    Change,
    Event,
    Seeded,
    TaskDeleted,
    TaskDescribed,
    VersionAdded,
    VersionDeleted,
)
from adapters_store.records import read_record
from adapters_store.state import State
from adapters_store.store_errors import CorruptLog
from adapters_store.strict_json import Json, canonical, parse_object, shown

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
    """A change as it is written: its event beside the name of the event's kind."""

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
        CorruptLog: The bytes are no log entry of this release.
    """
    with _as_corrupt_log():
        entry = read_record(_Entry, _parsed(data), "entry")
        if entry.kind not in _KINDS:
            raise CorruptLog(f"this release knows no event {shown(entry.kind)}")
        event = read_record(_KINDS[entry.kind], entry.event, "event")
        return Change(entry.generation, entry.at, entry.nonce, event)


def encode_state(state: State) -> bytes:
    """Return a snapshot as bytes."""
    return canonical(state).encode()


def decode_state(data: bytes) -> State:
    """Read a snapshot.

    Raises:
        CorruptLog: The bytes are no snapshot of this release.
    """
    with _as_corrupt_log():
        return read_record(State, _parsed(data), "snapshot")


def _parsed(data: bytes) -> dict[str, Json]:
    return parse_object(data.decode("utf-8"), max_depth=DEEPEST)


@contextmanager
def _as_corrupt_log() -> Iterator[None]:
    try:
        yield
    except (ArtifactError, UnicodeDecodeError) as error:
        raise CorruptLog(f"unreadable: {error}") from error
