"""What the store holds at one generation: plain immutable records, and nothing that changes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One immutable version of a task."""

    version: int
    sha256: str
    size: int  # bytes
    created_at: float  # seconds since 1970
    blob: str  # where the bytes lie in this home; callers go by the hash


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task: its versions, and the aliases that point at them."""

    generation: int  # of the last change to this task
    last_version: int  # highest number ever given
    versions: Mapping[int, VersionInfo] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # alias -> version -> weight
    description: str = ""  # empty: what its files say


@dataclass(frozen=True, slots=True)
class State:
    """All tasks at one generation."""

    generation: int = 0
    tasks: Mapping[str, TaskState] = field(default_factory=dict)
    retired: Mapping[str, int] = field(default_factory=dict)  # deleted task -> highest number ever given
    swept: int = 0  # generation of the last collection of blobs

    def task_generation(self, task: str) -> int:
        """Return the generation of a task, 0 where it does not exist."""
        return self.tasks[task].generation if task in self.tasks else 0

    def last_version(self, task: str) -> int:
        """Return the highest version number that a task ever had, also before it was deleted."""
        return self.tasks[task].last_version if task in self.tasks else self.retired.get(task, 0)

    def versions(self) -> Iterator[VersionInfo]:
        """Yield every version of every task."""
        for task in self.tasks.values():
            yield from task.versions.values()
