"""Reads tasks and versions from the store for those who manage them. Changes nothing.

It lists every version, with or without an alias. The registry decides which version answers predictions.
"""

from dataclasses import dataclass

from adapters_store import Manifest, Store, TaskState, VersionInfo, unpack
from adapters_store.errors import UnknownAlias, UnknownTask, UnknownVersion
from service.engine import AdmissionError, Engine
from service.engine.accounting import Cost, cost_of
from service.engine.weights import check
from service.tasks.table import ALIAS


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """One version with its manifest.

    Attributes:
        cost: FLOPs of one image over this server's backbone; None if the version was made for another backbone.
    """

    info: VersionInfo
    manifest: Manifest
    cost: Cost | None


class Catalogue:
    """Every call reads the store, and takes as long as that."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store, self._engine = store, engine

    def task(self, task: str) -> TaskState:
        """A task as it is now.

        Raises:
            UnknownTask, StoreError: there is none, or the store cannot be read.
        """
        state = self._store.snapshot()
        if task not in state.tasks:
            raise UnknownTask("there is no such task")
        return state.tasks[task]

    def version(self, task: str, number: int) -> tuple[TaskState, VersionInfo]:
        """One version of a task, and the task.

        Raises:
            UnknownTask, UnknownVersion, StoreError: there is none, or the store cannot be read.
        """
        state = self.task(task)
        if number not in state.versions:
            raise UnknownVersion("the task has no such version")
        return state, state.versions[number]

    def split(self, task: str, alias: str) -> tuple[TaskState, dict[int, int]]:
        """The versions of an alias with their weights, and its task.

        Raises:
            UnknownTask, UnknownAlias, StoreError: there is none, or the store cannot be read.
        """
        state = self.task(task)
        if alias not in state.aliases:
            raise UnknownAlias("the task has no such alias")
        return state, dict(state.aliases[alias])

    def data(self, info: VersionInfo) -> bytes:
        """The bytes of a version, checked.

        Raises:
            StoreError: they cannot be read, or have changed.
        """
        return self._store.read(info.sha256)

    def describe(self, info: VersionInfo) -> Described:
        """Read the file of a version.

        Raises:
            StoreError, ArtifactError: it cannot be read, or has changed.
        """
        adapter = unpack(self.data(info))
        backbone, manifest = self._engine.backbone, adapter.manifest
        try:
            check(backbone, adapter)
        except AdmissionError:
            return Described(info, manifest, None)
        initial = manifest.provenance.initial_widths
        cost = cost_of(backbone, manifest.widths, initial_widths=initial, classes=len(manifest.labels))
        return Described(info, manifest, cost)


def answering(state: TaskState) -> VersionInfo | None:
    """The version that describes a task: the live one with the largest share, else the newest, else none."""
    live = state.aliases.get(ALIAS)
    number = max(live, key=lambda n: (live[n], n)) if live else max(state.versions, default=None)
    return None if number is None else state.versions[number]
