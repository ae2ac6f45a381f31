"""The particulars of the folder backend: every system call of a write may fail, and planted links are not followed."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from adapters_store import digest
from adapters_store.errors import NotAStore, StoreFull, StoreUnavailable
from adapters_store.folder_backend import FolderBackend, _draft
from adapters_store.store import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    """A store with one version of one task."""
    with closing(Store(FolderBackend(root))) as opened:
        opened.publish("cat", b"one")
        yield opened


def failing(call: Callable[..., Any], at: int, number: int) -> Callable[..., Any]:
    """Return a system call that fails the `at`-th time, as a full or dying disk makes it."""
    calls = iter(range(1, 1000))

    def attempt(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        if next(calls) == at:
            raise OSError(number, os.strerror(number))
        return call(*args, **options)

    return attempt


STEPS = [
    ("open", 1),
    ("open", 2),
    ("open", 3),
    ("write", 1),
    ("write", 2),
    ("fsync", 1),
    ("fsync", 2),
    ("fsync", 3),
    ("link", 1),
    ("link", 2),
]
FAULTS = {errno.ENOSPC: StoreFull, errno.EDQUOT: StoreFull, errno.EIO: StoreUnavailable, errno.EROFS: StoreUnavailable}


@pytest.mark.parametrize("number", FAULTS, ids=errno.errorcode.get)
@pytest.mark.parametrize(("step", "at"), STEPS)
def test_a_failing_step_of_a_write_changes_nothing(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: int, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing(getattr(os, step), at, number))
        with pytest.raises(FAULTS[number]):
            store.publish("cat", b"two")
    assert store.snapshot().generation == 1
    assert store.read(digest(b"one")) == b"one"
    assert list((root / "staging").iterdir()) == []
    assert store.publish("cat", b"two").version.version == 2


def test_a_write_whose_last_flush_failed_is_not_acknowledged_but_may_be_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, 4, errno.EIO))
        with pytest.raises(StoreUnavailable):
            store.publish("cat", b"two")
    assert store.publish("cat", b"two").version.version == 2


def test_a_draft_that_cannot_be_removed_is_left_for_the_sweep(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing(os.unlink, 1, errno.EIO))
        assert store.publish("cat", b"two").created
    assert len(list((root / "staging").iterdir())) == 1
    store.sweep()
    assert list((root / "staging").iterdir()) == []


def test_a_draft_that_is_being_written_is_not_swept_away(store: Store, root: Path) -> None:
    with closing(FolderBackend(root)) as writer, _draft(writer._folder("staging")) as (name, _):
        store.sweep(older_than=0)
        assert [path.name for path in (root / "staging").iterdir()] == [name]


def test_a_draft_swept_before_it_could_be_locked_is_begun_again(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sweep_first(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        next((root / "staging").iterdir()).unlink()
        fcntl.flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    assert store.publish("cat", b"two").created
    assert store.read(digest(b"two")) == b"two"


def test_files_are_their_owners_alone(store: Store, root: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in root.glob("*/*")}
    assert modes == {0o600}


def test_files_that_are_not_ours_are_in_nobodys_way(store: Store, root: Path) -> None:
    for folder in ("blobs", "log", "snapshots", "."):
        (root / folder / "notes.txt").write_text("remember the milk")
    with closing(Store(FolderBackend(root))) as again:
        assert again.snapshot() == store.snapshot()
    assert store.publish("cat", b"two").created


def test_a_planted_link_is_not_followed(store: Store, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"one")
    blob = root / store.snapshot().tasks["cat"].versions[1].blob
    blob.unlink()
    blob.symlink_to(tmp_path / "secret")
    with pytest.raises(NotAStore):
        store.read(digest(b"one"))
    assert store.sweep(older_than=0) == 0


def test_a_planted_pipe_is_refused_without_waiting(store: Store, root: Path) -> None:
    blob = root / store.snapshot().tasks["cat"].versions[1].blob
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(NotAStore):
        store.read(digest(b"one"))


@pytest.mark.parametrize("name", ["store", "store/blobs", "store/log", "store/staging"])
def test_a_store_folder_that_is_a_link_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAStore):
        FolderBackend(root)


def test_a_file_is_no_store(root: Path) -> None:
    root.write_bytes(b"my thesis, only copy")
    with pytest.raises(NotAStore):
        FolderBackend(root)


def test_a_file_that_vanishes_while_the_folder_is_listed_is_passed_over(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with os.scandir(root / "blobs") as listing:
        entries = list(listing)
    monkeypatch.setattr(os, "scandir", lambda _: nullcontext(entries))
    os.unlink(entries[0])
    assert store._backend.list("blobs") == []


def test_a_closed_store_is_unavailable(root: Path) -> None:
    store = Store(FolderBackend(root))
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.snapshot()
    with pytest.raises(StoreUnavailable):
        store.sweep()


@pytest.fixture
def full(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on a disk that has no room but that of the reserve."""
    write = os.write

    def refuse(descriptor: int, data: bytes) -> int:
        if (root / "reserve").exists():
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refuse)
    return store


def test_a_deletion_on_a_full_disk_takes_the_room_of_the_reserve(full: Store, root: Path) -> None:
    with pytest.raises(StoreFull):
        full.publish("cat", b"two")
    full.delete_task("cat")
    assert full.snapshot().tasks == {}
    assert list((root / "blobs").iterdir()) == []
    assert not (root / "reserve").exists()  # there was no room to keep it again


def test_a_sweep_on_a_full_disk_takes_the_room_of_the_reserve(full: Store, root: Path) -> None:
    (root / "blobs" / "unnamed").write_bytes(b"left by a killed writer")
    assert full.sweep(older_than=0) == 1


def test_without_a_reserve_a_full_disk_takes_nothing(full: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full._backend, "release_reserve", lambda: False)
    with pytest.raises(StoreFull):
        full.delete_task("cat")
    (root / "blobs" / "unnamed").write_bytes(b"left by a killed writer")
    with pytest.raises(StoreFull):
        full.sweep(older_than=0)
