"""Files that several processes write: replaced whole, or under a lock that ends with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training.errors import UnwritableFile


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader or a crash sees the old bytes or the new, never a part.

    Raises:
        UnwritableFile: the disk is full, for example; the old file is as it was, and no part of the new one is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UnwritableFile(f"{path}: {error.strerror}") from error


@contextmanager
def locked(path: Path, *, patient: bool) -> Iterator[bool]:
    """True for the one process that holds the lock; the kernel drops it when the process ends.

    Args:
        path: of the lock's file; its folder is made.
        patient: wait for the lock; else give False if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
