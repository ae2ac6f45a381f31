"""The store, built once for every home: each request becomes a decision for the journal, and bytes become blobs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from adapters_store import decide
from adapters_store.artifact import digest
from adapters_store.blobs import FOLDER, PendingBlob, blob_hash, named_blobs
from adapters_store.bucket import Bucket
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
from adapters_store.journal import Decision, Journal
from adapters_store.names import check_sha256
from adapters_store.state import State
from adapters_store.store import Published
from adapters_store.store_errors import CorruptBlob, UnknownBlob

SNAPSHOT_EVERY = 100  # entries


class LogStore:
    """A `Store` on any bucket."""

    def __init__(
        self, bucket: Bucket, *, clock: Callable[[], float] = time.time, snapshot_every: int = SNAPSHOT_EVERY
    ) -> None:
        self._bucket, self._clock = bucket, clock
        self._journal = Journal(bucket, clock, snapshot_every=snapshot_every)

    def publish(
        self, task: str, data: bytes, *, alias: str | None = "live", expected_generation: int | None = None
    ) -> Published:
        """See `Store.publish`."""
        upload = decide.Upload(task, digest(data), len(data), alias)
        blob = PendingBlob(self._bucket, upload.sha256, data)

        def decision(state: State) -> Event | None:
            event = decide.publish(state, upload, expected_generation)
            return replace(event, blob=blob.name(state)) if isinstance(event, VersionAdded) else event

        state, change = self._journal.commit(decision)
        after = state.tasks[task]
        version = next(info for info in after.versions.values() if info.sha256 == upload.sha256)
        return Published(version, after.generation, change is not None and isinstance(change.event, VersionAdded))

    def read(self, sha256: str) -> bytes:
        """See `Store.read`."""
        check_sha256(sha256)
        error: type[CorruptBlob | UnknownBlob] = UnknownBlob
        for name in self._places(sha256):
            data = self._bucket.get(name)
            if data is not None:
                if digest(data) == sha256:
                    return data
                error = CorruptBlob
        raise error(f"no intact bytes with hash {sha256}")

    def snapshot(self) -> State:
        """See `Store.snapshot`."""
        return self._journal.state()

    def changes(self, after: int) -> Sequence[Change]:
        """See `Store.changes`."""
        return list(self._journal.changes(after))

    def move_alias(
        self, task: str, alias: str, split: Mapping[int, int], *, expected_generation: int | None = None
    ) -> int:
        """See `Store.move_alias`."""
        moved = AliasMoved(task, alias, dict(split))
        return self._commit(task, lambda state: decide.move_alias(state, moved, expected_generation))

    def delete_alias(self, task: str, alias: str, *, expected_generation: int | None = None) -> int:
        """See `Store.delete_alias`."""
        deleted = AliasDeleted(task, alias)
        return self._commit(task, lambda state: decide.delete_alias(state, deleted, expected_generation))

    def delete_version(self, task: str, version: int, *, expected_generation: int | None = None) -> int:
        """See `Store.delete_version`."""
        deleted = VersionDeleted(task, version)
        return self._commit(task, lambda state: decide.delete_version(state, deleted, expected_generation))

    def delete_task(self, task: str, *, expected_generation: int | None = None) -> int:
        """See `Store.delete_task`."""
        deleted = TaskDeleted(task)
        return self._commit(task, lambda state: decide.delete_task(state, deleted, expected_generation))

    def describe(self, task: str, text: str, *, expected_generation: int | None = None) -> int:
        """See `Store.describe`."""
        described = TaskDescribed(task, text)
        return self._commit(task, lambda state: decide.describe(state, described, expected_generation))

    def seed(self, tasks: Mapping[str, bytes]) -> bool:
        """See `Store.seed`."""
        uploads = [(decide.Upload(task, digest(data), len(data), "live"), data) for task, data in tasks.items()]

        def decision(state: State) -> Event | None:
            if state.generation or not uploads:
                return None
            return Seeded(tuple(self._first_version(state, upload, data) for upload, data in uploads))

        return self._journal.commit(decision)[1] is not None

    def sweep(self, *, older_than: float = 3600.0) -> int:
        """See `Store.sweep`."""
        before = self._clock() - older_than
        old = {item.name for item in self._bucket.list(FOLDER) if item.written_at <= before}

        def decision(state: State) -> Event | None:
            unnamed = old - _named(state)
            return BlobsCollected(len(unnamed)) if unnamed else None

        state, _ = self._journal.commit(decision)
        unnamed = old - _named(state)  # as decided: collecting blobs changes no names
        for name in unnamed:
            self._bucket.delete(name)
        self._journal.drop_old_snapshots()
        self._bucket.tidy()
        return len(unnamed)

    def close(self) -> None:
        """See `Store.close`."""
        self._bucket.close()

    def _commit(self, task: str, decision: Decision) -> int:
        state, change = self._journal.commit(decision)
        return change.generation if change is not None else state.task_generation(task)

    def _first_version(self, state: State, upload: decide.Upload, data: bytes) -> VersionAdded:
        blob = PendingBlob(self._bucket, upload.sha256, data).name(state)
        return VersionAdded(upload.task, 1, upload.sha256, upload.size, blob, upload.alias or "")

    def _places(self, sha256: str) -> Iterator[str]:
        """Yield where the bytes may lie, likeliest first; what nothing names any more may still be in use."""
        yield from named_blobs(self._journal.seen, sha256)
        yield from named_blobs(self._journal.state(), sha256)
        yield from (item.name for item in self._bucket.list(FOLDER) if blob_hash(item.name) == sha256)


def _named(state: State) -> set[str]:
    return {info.blob for info in state.versions()}
