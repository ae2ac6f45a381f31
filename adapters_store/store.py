"""The store over any backend: each request becomes an event in the log, and bytes become blobs.

A blob's name is its hash and the generation that its writer had seen. A sweep writes an entry into the log before it
removes anything. A writer whose blob may have been removed finds that entry before it can write its own. It then
uploads the blob again under a later generation. The removal itself may happen later: a blob's name is never used again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from adapters_store import commands
from adapters_store.artifact import digest
from adapters_store.backend import BLOBS, Backend
from adapters_store.cache import CachedBackend
from adapters_store.errors import BackendError, CorruptBlob, StoreFull, StoreUnavailable, UnknownBlob
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
from adapters_store.log import Decision, Log
from adapters_store.recovery import Fault
from adapters_store.state import State, VersionInfo

SNAPSHOT_EVERY = 100  # entries


class Published(NamedTuple):
    """The result of publishing."""

    version: VersionInfo
    generation: int  # of the task, afterwards
    created: bool  # False if the task had these bytes already


class Store:
    """Tasks, their versions and aliases, and the bytes of each version. Safe for several threads and processes.

    `expected_generation` is the generation the caller saw the *task* at: None for "any", 0 for "it must not exist".
    Every method may raise BackendError; nothing is half done then. Deletions free no room before a sweep.
    """

    def __init__(
        self, backend: Backend, *, clock: Callable[[], float] = time.time, snapshot_every: int = SNAPSHOT_EVERY
    ) -> None:
        self._backend, self._clock = backend, clock
        self._was_full = False
        self._log = Log(backend, clock, snapshot_every=snapshot_every)

    def publish(
        self, task: str, data: bytes, *, alias: str | None = "live", expected_generation: int | None = None
    ) -> Published:
        """Give a task these bytes as its next version and point an alias at them.

        Bytes that the task has already keep their version; only the alias moves.

        Raises:
            InvalidName, StaleGeneration: Nothing was published.
        """
        upload = commands.Upload(task, digest(data), len(data), alias)
        blob = PendingBlob(self._backend, upload.sha256, data)

        def decision(state: State) -> Event | None:
            event = commands.publish(state, upload, expected_generation)
            return replace(event, blob=blob.name(state)) if isinstance(event, VersionAdded) else event

        try:
            state, change = self._log.commit(decision)
        except StoreFull:
            self._was_full = True
            raise
        after = state.tasks[task]
        version = next(info for info in after.versions.values() if info.sha256 == upload.sha256)
        self._make_readable(version, data)
        return Published(version, after.generation, change is not None and isinstance(change.event, VersionAdded))

    def read(self, sha256: str) -> bytes:
        """Return the bytes with this hash, checked.

        Raises:
            UnknownBlob, CorruptBlob: There are no such bytes, or they have changed.
        """
        commands.check_sha256(sha256)
        error: type[CorruptBlob | UnknownBlob] = UnknownBlob
        for name in self._places(sha256):
            data = self._backend.get(name)
            if data is not None:
                if digest(data) == sha256:
                    return data
                error = CorruptBlob
        raise error(f"there are no intact bytes with hash {sha256}")

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The unreadable parts of the file and of the log. With any fault, the store takes no changes.

        Blobs are not among them: each is checked when it is read, and publishing its bytes again mends it.
        """
        return self._log.faults

    @property
    def offline(self) -> bool:
        """Whether the state is that of a cache, because the store itself has not been reached since the start."""
        return isinstance(self._backend, CachedBackend) and self._backend.offline

    def reload(self) -> None:
        """After StoreReplaced: open the store that is there now, and read all of it.

        Raises:
            StoreReplaced: Nothing is there.
        """
        self._backend.reopen()
        self._log.reload()

    def snapshot(self) -> State:
        """Return the newest state. With `faults` it is the one that the readable part of the log leads to.

        Raises:
            StoreReplaced: The store that was read before is gone, or went back to an earlier state: see `reload`.
        """
        return self._log.state()

    def changes(self, after: int) -> Sequence[Change]:
        """Return all changes after a generation, oldest first."""
        return list(self._log.changes(after))

    def move_alias(
        self, task: str, alias: str, split: Mapping[int, int], *, expected_generation: int | None = None
    ) -> int:
        """Point an alias at versions by weight; return the task's generation.

        Raises:
            InvalidName, InvalidSplit, UnknownTask, UnknownVersion, StaleGeneration: Nothing was moved.
        """
        moved = AliasMoved(task, alias, dict(split))
        return self._commit(task, lambda state: commands.move_alias(state, moved, expected_generation))

    def delete_alias(self, task: str, alias: str, *, expected_generation: int | None = None) -> int:
        """Delete an alias; return the task's generation.

        Raises:
            InvalidName, UnknownTask, UnknownAlias, StaleGeneration: Nothing was deleted.
        """
        deleted = AliasDeleted(task, alias)
        return self._commit_deletion(task, lambda state: commands.delete_alias(state, deleted, expected_generation))

    def delete_version(self, task: str, version: int, *, expected_generation: int | None = None) -> int:
        """Delete a version that no alias points at; return the task's generation.

        Raises:
            InvalidName, UnknownTask, UnknownVersion, VersionInUse, StaleGeneration: Nothing was deleted.
        """
        deleted = VersionDeleted(task, version)
        return self._commit_deletion(task, lambda state: commands.delete_version(state, deleted, expected_generation))

    def delete_task(self, task: str, *, expected_generation: int | None = None) -> int:
        """Delete a task with all its versions and aliases; return the store's generation.

        Raises:
            InvalidName, UnknownTask, StaleGeneration: Nothing was deleted.
        """
        deleted = TaskDeleted(task)
        return self._commit_deletion(task, lambda state: commands.delete_task(state, deleted, expected_generation))

    def describe(self, task: str, text: str, *, expected_generation: int | None = None) -> int:
        """Give a task a description of its own, none if empty; return the task's generation.

        Raises:
            InvalidName, InvalidDescription, UnknownTask, StaleGeneration: Nothing was changed.
        """
        described = TaskDescribed(task, text)
        return self._commit(task, lambda state: commands.describe(state, described, expected_generation))

    def seed(self, tasks: Mapping[str, bytes]) -> bool:
        """Write these tasks as the first entry of a store without any; return whether it had none."""
        uploads = [(commands.Upload(task, digest(data), len(data), "live"), data) for task, data in tasks.items()]

        def decision(state: State) -> Event | None:
            if state.generation or not uploads:
                return None
            return Seeded(tuple(self._first_version(state, upload, data) for upload, data in uploads))

        return self._log.commit(decision)[1] is not None

    def sweep(self, *, older_than: float = 3600.0) -> int:
        """Remove blobs that no version names and that are older (seconds); return how many."""
        try:
            return self._sweep(older_than)
        except StoreFull:
            if not self._backend.release_reserve():
                raise
        try:
            return self._sweep(older_than)
        finally:
            self._backend.keep_reserve()

    def _sweep(self, older_than: float) -> int:
        before = self._clock() - older_than
        old = {item.name for item in self._backend.list(BLOBS) if item.written_at <= before}

        def decision(state: State) -> Event | None:
            unnamed = old - _named(state)
            return BlobsCollected(len(unnamed)) if unnamed else None

        state, _ = self._log.commit(decision)
        unnamed = old - _named(state)  # a sweep changes no names
        for name in unnamed:
            self._backend.delete(name)
        self._log.drop_old_snapshots()
        self._backend.tidy()
        return len(unnamed)

    def close(self) -> None:
        """Close files and connections. The store cannot be used afterwards."""
        self._backend.close()

    def _commit(self, task: str, decision: Decision) -> int:
        state, change = self._log.commit(decision)
        return change.generation if change is not None else state.task_generation(task)

    def _commit_deletion(self, task: str, decision: Decision) -> int:
        """Commit a deletion, on a full disk into the room of the reserve. If the disk was full, a sweep follows."""
        try:
            generation = self._commit(task, decision)
        except StoreFull:
            if not self._backend.release_reserve():
                raise
            self._was_full = True
            generation = self._commit(task, decision)
        if self._was_full:
            with suppress(BackendError):  # the deletion is written; the next sweep may free the room
                self.sweep(older_than=0.0)
                self._was_full = False
            self._backend.keep_reserve()
        return generation

    def _make_readable(self, version: VersionInfo, data: bytes) -> None:
        """Write the bytes of an acknowledged version again if they do not read back unchanged.

        If the version was deleted and its bytes swept meanwhile, nothing is to be done.

        Raises:
            StoreUnavailable: They do not read back after that either.
        """
        if self._backend.get(version.blob) == data:
            return
        self._backend.replace(version.blob, data)
        if self._backend.get(version.blob) != data and version.blob in _named(self._log.state()):
            raise StoreUnavailable("the bytes of the version were written, but do not read back")

    def _first_version(self, state: State, upload: commands.Upload, data: bytes) -> VersionAdded:
        blob = PendingBlob(self._backend, upload.sha256, data).name(state)
        return VersionAdded(upload.task, 1, upload.sha256, upload.size, blob, upload.alias or "")

    def _places(self, sha256: str) -> Iterator[str]:
        """Yield names that may hold the bytes, likeliest first. Bytes without a version may still be in use."""
        yield from named_blobs(self._log.seen, sha256)
        yield from named_blobs(self._log.state(), sha256)
        yield from (item.name for item in self._backend.list(BLOBS) if blob_hash(item.name) == sha256)


def _named(state: State) -> set[str]:
    return {info.blob for info in state.versions()}


def blob_name(sha256: str, generation: int) -> str:
    """Return the name of bytes that a writer uploads after it has seen this generation."""
    return f"{BLOBS}/{sha256}.{generation:012d}"


def blob_hash(name: str) -> str:
    """Return the hash in a blob's name."""
    return name.removeprefix(f"{BLOBS}/").partition(".")[0]


def named_blobs(state: State, sha256: str) -> Iterator[str]:
    """Yield the names of all blobs with these bytes that a state names."""
    return (info.blob for info in state.versions() if info.sha256 == sha256)


class PendingBlob:
    """The bytes of one publication, uploaded at most once between two sweeps."""

    def __init__(self, backend: Backend, sha256: str, data: bytes) -> None:
        self._backend, self._sha256, self._data = backend, sha256, data
        self._uploaded: tuple[int, str] | None = None

    def name(self, state: State) -> str:
        """Return a name that holds the bytes, provided that the next log entry follows this state."""
        for name in named_blobs(state, self._sha256):
            if self._backend.get(name) == self._data:  # a copy that has rotted is never shared
                return name
        if self._uploaded is None or self._uploaded[0] < state.swept:
            self._uploaded = state.generation, blob_name(self._sha256, state.generation)
            blob = self._uploaded[1], self._data
            if not self._backend.create(*blob) and self._backend.get(blob[0]) != self._data:
                self._backend.replace(*blob)  # what a killed writer left under this name has rotted
        return self._uploaded[1]
