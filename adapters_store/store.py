"""What every store offers, whatever its home: immutable versions of tasks, aliases on them, and a log of changes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from adapters_store.events import Change
from adapters_store.state import State, VersionInfo


class Published(NamedTuple):
    """What publishing led to."""

    version: VersionInfo
    generation: int  # of the task, afterwards
    created: bool  # False where the task had these bytes already


class Store(Protocol):
    """Safe for several threads and processes. Deletions free no room before a sweep.

    `expected_generation` is the generation the caller saw the *task* at: None for "whatever it is", 0 for "it must
    not exist". Every method may raise HomeError; nothing is half done when it does.
    """

    def publish(
        self, task: str, data: bytes, *, alias: str | None = "live", expected_generation: int | None = None
    ) -> Published:
        """Give a task these bytes as its next version and point an alias at them.

        Bytes that the task has already keep their version; only the alias moves.

        Raises:
            InvalidName, StaleGeneration: Nothing was published.
        """

    def read(self, sha256: str) -> bytes:
        """Return the bytes with this hash, checked.

        Raises:
            UnknownBlob, CorruptBlob: There are none, or they have changed.
        """

    def snapshot(self) -> State:
        """Return the newest state."""

    def changes(self, after: int) -> Sequence[Change]:
        """Return all changes after a generation, oldest first."""

    def move_alias(
        self, task: str, alias: str, split: Mapping[int, int], *, expected_generation: int | None = None
    ) -> int:
        """Point an alias at versions by weight; return the task's generation.

        Raises:
            InvalidName, InvalidSplit, UnknownTask, UnknownVersion, StaleGeneration: Nothing was moved.
        """

    def delete_alias(self, task: str, alias: str, *, expected_generation: int | None = None) -> int:
        """Delete an alias; return the task's generation.

        Raises:
            InvalidName, UnknownTask, UnknownAlias, StaleGeneration: Nothing was deleted.
        """

    def delete_version(self, task: str, version: int, *, expected_generation: int | None = None) -> int:
        """Delete a version that no alias points at; return the task's generation.

        Raises:
            InvalidName, UnknownTask, UnknownVersion, VersionInUse, StaleGeneration: Nothing was deleted.
        """

    def delete_task(self, task: str, *, expected_generation: int | None = None) -> int:
        """Delete a task with all its versions and aliases; return the store's generation.

        Raises:
            InvalidName, UnknownTask, StaleGeneration: Nothing was deleted.
        """

    def describe(self, task: str, text: str, *, expected_generation: int | None = None) -> int:
        """Give a task a description of its own, none if empty; return the task's generation.

        Raises:
            InvalidName, InvalidDescription, UnknownTask, StaleGeneration: Nothing was changed.
        """

    def seed(self, tasks: Mapping[str, bytes]) -> bool:
        """Make these tasks the first entry of a store that never had one; tell whether it was so."""

    def sweep(self, *, older_than: float = 3600.0) -> int:
        """Remove blobs that nothing names and that are older (seconds); return how many."""

    def close(self) -> None:
        """Let go of files and connections. The store cannot be used afterwards."""
