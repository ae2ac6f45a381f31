"""What can happen to the store: the entries of its log. They are facts, already decided; nothing here judges them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VersionAdded:
    """A task got a version, and an alias (none if empty) now points at it."""

    task: str
    version: int
    sha256: str
    size: int  # bytes
    blob: str  # where the bytes lie in this home
    alias: str


@dataclass(frozen=True, slots=True)
class AliasMoved:
    """An alias points at one version, or splits its traffic by weight."""

    task: str
    alias: str
    split: Mapping[int, int]  # version -> weight


@dataclass(frozen=True, slots=True)
class AliasDeleted:
    """An alias is gone; the versions stay."""

    task: str
    alias: str


@dataclass(frozen=True, slots=True)
class VersionDeleted:
    """A version is gone; its number is never used again."""

    task: str
    version: int


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A task is gone with its versions and aliases; its numbering is remembered."""

    task: str


@dataclass(frozen=True, slots=True)
class TaskDescribed:
    """A task has a description of its own; if empty, again that of whichever file answers for it."""

    task: str
    text: str


@dataclass(frozen=True, slots=True)
class Seeded:
    """The first entry of a store that began with bundled tasks."""

    added: tuple[VersionAdded, ...]


@dataclass(frozen=True, slots=True)
class BlobsCollected:
    """Blobs that nothing named were given up. A writer that uploaded one before this entry must upload it again."""

    count: int


Event = (
    VersionAdded | AliasMoved | AliasDeleted | VersionDeleted | TaskDeleted | TaskDescribed | Seeded | BlobsCollected
)


@dataclass(frozen=True, slots=True)
class Change:
    """One numbered entry of the log. `nonce` makes it unlike any other, so that a writer knows its own again."""

    generation: int
    at: float  # seconds since 1970, for people; nothing is decided by it
    nonce: str
    event: Event
