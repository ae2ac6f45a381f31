"""Maintenance of stores: check, repair, copy, back up and restore, also while servers use them.

Every function works on whole stores of any kind. A server that follows a store notices a restore or a repair, and reads
the store again.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from adapters_store.artifact import digest
from adapters_store.backend import BLOBS, FOLDERS, SNAPSHOTS, Backend
from adapters_store.errors import CorruptLog, Damaged, NotEmpty, StoreDamaged, StoreUnavailable, UnknownBlob
from adapters_store.events import Change, EntryLost, StateRepaired, encode_change, parse_log_object
from adapters_store.log import snapshot_name
from adapters_store.opening import is_folder, local_path, open_backend
from adapters_store.recovery import Fault, entry_name, read_entries, replay
from adapters_store.sqlite_backend import BUSY_SECONDS, SqliteBackend
from adapters_store.state import State, VersionInfo, apply, decode_state, encode_state
from adapters_store.store import Store, blob_hash

_BLOBS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a store, and its unreadable parts.

    Attributes:
        log: faults that stop all changes until a repair.
        blobs: faults that each stop one version, until its bytes are published again.
        unnamed: blobs that no version names; a sweep removes them.
    """

    generation: int
    tasks: int
    versions: int
    log: tuple[Fault, ...]
    blobs: tuple[Fault, ...]
    unnamed: int

    @property
    def sound(self) -> bool:
        """Whether everything can be read."""
        return not self.log and not self.blobs


def check(url: str) -> Report:
    """Read everything in a store: each entry of the log, each snapshot, and each blob by its hash.

    Raises:
        BackendError: There is no store, or it cannot be opened at all.
    """
    with closing(open_backend(url, create=False)) as backend:
        return _examine(backend)


def repair(url: str) -> Report:
    """Make a store writable again, with all that can be read; return what the check found before.

    Unreadable entries of the log are replaced, so that later ones keep their numbers. A damaged SQLite file is kept
    beside the new one. Blobs that cannot be read are only reported: publish their bytes again.

    Raises:
        BackendError: There is no store, or it cannot be written.
    """
    with closing(open_backend(url, create=False)) as backend:
        report = _examine(backend)
        if not report.log:
            return report
        if not backend.damage:
            _repair_log(backend)
            return report
        _rebuild(backend, Path(str(local_path(url))))
    return report


def copy(source: str, target: str) -> Report:
    """Copy a store with its whole log into a place that is empty; return what the copy holds.

    Raises:
        NotEmpty: There is something at the target.
        StoreDamaged: A part of the source cannot be read.
        BackendError: One of the two cannot be used.
    """
    with closing(open_backend(source, create=False)) as old:
        path = local_path(target)
        if path is not None and os.path.lexists(path):
            raise NotEmpty(f"there is something at {path} already")
        with closing(open_backend(target)) as new:
            return _copy(old, new)


def backup(url: str, path: Path) -> Report:
    """Copy a store into one new SQLite file, as of one moment; return what it holds. See `copy`."""
    if os.path.lexists(path):
        raise NotEmpty(f"there is something at {path} already")
    with closing(open_backend(url, create=False)) as old, _new_file(path) as new:
        report = _copy_to_file(old, new)
        os.rename(new, path)
    return report


def restore(path: Path, url: str) -> Report:
    """Put a backup in the place of a store, at once; return what it holds.

    The store that was there is kept beside it. An object store must be empty: use a new prefix.

    Raises:
        NotEmpty: The object store holds something.
        StoreDamaged: A part of the backup cannot be read; the store is as before.
        BackendError: One of the two cannot be used.
    """
    place = local_path(url)
    if not path.exists():
        raise StoreUnavailable(f"there is no backup at {path}")
    with closing(SqliteBackend(path, create=False)) as saved:
        if place is None:
            with closing(open_backend(url)) as target:
                return _copy(saved, target)
        if is_folder(url):
            return _restore_folder(saved, place)
        with _new_file(place) as new:
            report = _copy_to_file(saved, new)
            _overwrite(new, place)
    return report


def verify(url: str, copied: str) -> Report:
    """Read a copy of a store as `check` does, and see whether its log is the store's.

    Each entry names the hash of the one before it, so the last one stands for all. The store may have gone on since
    the copy was made.

    Raises:
        BackendError: One of the two cannot be used.
    """
    with closing(open_backend(url, create=False)) as store, closing(open_backend(copied, create=False)) as copy_:
        report = _examine(copy_)
        last = entry_name(report.generation)
        if report.generation and store.get(last) != copy_.get(last):
            report = replace(report, log=(*report.log, Fault(last, "the store has another entry, or none")))
    return report


def _examine(backend: Backend) -> Report:
    if isinstance(backend, SqliteBackend):
        backend.examine()
    store = Store(backend)
    state = store.snapshot()
    blobs = tuple(_faults_of_blobs(store, state))  # first: it reads every page of the file
    found = (*store.faults, *replay(State(), read_entries(backend, after=0))[1], *_faults_of_snapshots(backend))
    named = {info.blob for info in state.versions()}
    return Report(
        generation=state.generation,
        tasks=len(state.tasks),
        versions=len(list(state.versions())),
        log=tuple({fault.where: fault for fault in found}.values()),
        blobs=blobs,
        unnamed=sum(item.name not in named for item in backend.list(BLOBS)),
    )


def _faults_of_snapshots(backend: Backend) -> Iterator[Fault]:
    for item in backend.list(SNAPSHOTS):
        try:
            decode_state(backend.get(item.name) or b"")
        except CorruptLog as error:
            yield Fault(item.name, str(error))


def _faults_of_blobs(store: Store, state: State) -> Iterator[Fault]:
    for task, its in state.tasks.items():
        for info in its.versions.values():
            try:
                store.read(info.sha256)
            except (UnknownBlob, Damaged) as error:
                yield Fault(f"{task} version {info.version}", f"{error.title} SHA-256 {info.sha256}")


def _repair_log(backend: Backend) -> None:
    """Rewrite the unreadable entries, chain the others again, and write their state."""
    best, state = Store(backend).snapshot(), State()
    for generation, entry in list(read_entries(backend, after=0)):
        change, state = _mended(state, generation, entry)
        _put(backend, change)
    if replace(best, generation=state.generation, head=state.head) != state:
        whole = StateRepaired(dict(parse_log_object(encode_state(best))))
        change = Change(state.generation + 1, time.time(), secrets.token_hex(8), whole, state.head)
        state = apply(state, change)
        _put(backend, change)
    for item in list(backend.list(SNAPSHOTS)):
        backend.delete(item.name)
    backend.create(snapshot_name(state.generation), encode_state(state))


def _rebuild(damaged: Backend, path: Path) -> None:
    """Put a new SQLite file, with every object that can be read, in the place of a damaged one."""
    with _new_file(path) as new:
        with closing(SqliteBackend(new)) as fresh:
            with fresh.batch():
                _copy_objects(damaged, fresh)
                _repair_log(fresh)
            fresh.release_reserve()
        _swap(new, path)


def _mended(state: State, generation: int, entry: Change | CorruptLog) -> tuple[Change, State]:
    """Return an entry that follows from a state, and the state after it."""
    reason = str(entry)
    if isinstance(entry, Change):
        change = replace(entry, previous=state.head)
        try:
            return change, apply(state, change)
        except CorruptLog as error:
            reason = str(error)
    lost = Change(generation, time.time(), secrets.token_hex(8), EntryLost(ascii(reason)), state.head)
    return lost, apply(state, lost)


def _put(backend: Backend, change: Change) -> None:
    name, data = entry_name(change.generation), encode_change(change)
    if backend.get(name) != data:
        backend.replace(name, data)


def _copy_objects(old: Backend, new: Backend) -> None:
    """Copy every object that can be read; blobs only if their bytes give the hash in their names."""
    for folder in FOLDERS:
        for item in old.list(folder):
            data = old.get(item.name)
            if data is not None and (folder != BLOBS or digest(data) == blob_hash(item.name)):
                new.create(item.name, data)


def _copy(old: Backend, new: Backend) -> Report:
    """Copy a store as of one moment, then read the copy."""
    if any(list(new.list(folder)) for folder in FOLDERS):
        raise NotEmpty("the place holds a store already")
    with _held(old):
        store, copied, lost = Store(old), 0, True
    while lost:
        with _held(old):
            state = store.snapshot()
            if store.faults:
                raise StoreDamaged("; ".join(map(str, store.faults)))
            _copy_entries(store, new, after=copied, last=state.generation)
        copied = state.generation
        lost = not _copy_blobs(store, old, new, list(state.versions()))
        if store.snapshot() == state:
            break  # what is lost was not deleted and swept meanwhile: it cannot be read
    new.create(snapshot_name(state.generation), encode_state(state))
    return _examine(new)


def _held(backend: Backend) -> AbstractContextManager[None]:
    """Return a context that locks out writers of a SQLite file; it waits once instead of many times."""
    return backend.held() if isinstance(backend, SqliteBackend) else nullcontext()


def _copy_blobs(store: Store, old: Backend, new: Backend, infos: Sequence[VersionInfo]) -> bool:
    """Copy the blobs of versions; return whether all of them could be read."""
    whole = True
    for start in range(0, len(infos), _BLOBS_AT_ONCE):
        with _held(old):
            chunk = infos[start : start + _BLOBS_AT_ONCE]
            for info in chunk:
                whole &= _copy_blob(store, new, info.blob, info.sha256)
    return whole


def _copy_entries(store: Store, new: Backend, *, after: int, last: int) -> None:
    try:
        for change in store.changes(after):
            if change.generation <= last:
                new.create(entry_name(change.generation), encode_change(change))
    except CorruptLog as error:  # before the newest snapshot, so that nothing else has read it
        raise StoreDamaged(str(error)) from error


def _copy_blob(store: Store, new: Backend, name: str, sha256: str) -> bool:
    """Copy a blob unless it is copied already; return whether it could be read."""
    if new.get(name) is not None:
        return True
    try:
        new.create(name, store.read(sha256))
    except (UnknownBlob, Damaged):
        return False
    return True


def _copy_to_file(old: Backend, path: Path) -> Report:
    with closing(SqliteBackend(path)) as new:
        with new.batch():  # one flush to the disk, not one for each entry
            report = _copy(old, new)
        new.release_reserve()
    return report


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Yield a path beside another, for a file that is not there yet and must not stay there."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield new
    finally:
        for suffix in ("", "-journal", "-reserve"):
            new.with_name(new.name + suffix).unlink(missing_ok=True)


def _kept(path: Path, why: str) -> Path:
    return path.with_name(f"{path.name}.{why}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")


def _overwrite(new: Path, path: Path) -> None:
    """Give a SQLite store the contents of another file in one transaction, and keep its old contents beside it.

    The file stays the same file: another process that is about to write would write its journal beside a new one.
    """
    if not path.exists():
        os.rename(new, path)
        return
    try:
        with closing(SqliteBackend(path, create=False)) as old:
            if old.damage:
                raise StoreDamaged(old.damage)
            _transfer(path, _kept(path, "replaced"))
            _transfer(new, path)
    except StoreDamaged:
        _swap(new, path)


def _transfer(source: Path, target: Path) -> None:
    """Make one SQLite file the copy of another, in one transaction."""
    with (
        closing(sqlite3.connect(source)) as reader,
        closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as writer,
    ):
        writer.execute("PRAGMA synchronous = EXTRA")
        reader.backup(writer)


def _swap(new: Path, path: Path) -> None:
    """Put a new file where a damaged one is, and keep that one, with its journal, under another name."""
    kept = _kept(path, "damaged")
    with suppress(FileNotFoundError):
        os.rename(path.with_name(f"{path.name}-journal"), kept.with_name(f"{kept.name}-journal"))
    os.link(path, kept)
    os.replace(new, path)


def _restore_folder(saved: Backend, place: Path) -> Report:
    new = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    with closing(open_backend(f"file://{new.absolute()}")) as target:
        report = _copy(saved, target)
    if place.exists():
        os.rename(place, _kept(place, "replaced"))
    os.rename(new, place)
    return report
