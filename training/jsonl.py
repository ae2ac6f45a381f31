"""Files of JSON lines. Several processes may add to one, and a crash leaves the old file or the new one."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.checkpoint import write_atomic
from training.errors import DamagedRows

Row = dict[str, Any]  # JSON values by name


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none if there is no file.

    Raises:
        DamagedRows: a line is no JSON object; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except UnicodeDecodeError as error:
        raise DamagedRows(f"{path}: not text: {error}") from error
    return [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DamagedRows(f"{path}, line {number}: no JSON: {error}") from error
    if not isinstance(row, dict):
        raise DamagedRows(f"{path}, line {number}: no JSON object")
    return row


def add_rows(path: Path, rows: Sequence[Row]) -> None:
    """Add rows at the end, all or none.

    The file is replaced whole, because a crash could leave half of an append. The lock is on the folder: a lock on
    the file itself would stay with the old file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        before = path.read_bytes() if path.exists() else b""
        added = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomic(path, before + (b"\n" if before and not before.endswith(b"\n") else b"") + added.encode())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`; the kernel drops it when the process ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
