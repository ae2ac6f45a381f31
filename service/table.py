"""What the registry knows of tasks: the names that answer, the versions behind them, and why one does not answer.

Plain immutable records, but for what is found out about a content while it is loaded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from adapters_store import Manifest, VersionInfo
from service.contents import Named
from service.engine import Resident

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


@dataclass(frozen=True, slots=True)
class Hashes:
    """Contents that a table names: those that aliases point at, and those of all versions."""

    aliases: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()


def hashes(table: Table) -> Hashes:
    """The contents that a table names."""
    return Hashes(
        frozenset(named.info.sha256 for entry in table.values() for named in entry.named()),
        frozenset(info.sha256 for entry in table.values() for info in entry.versions.values()),
    )
