"""Files of JSON Lines. Several processes may add to one, and a crash leaves the old file or the new one."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.errors import DamagedRows
from training.files import write_atomic

Row = dict[str, Any]  # JSON values by name


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none if there is no file.

    Raises:
        DamagedRows: as `numbered_rows`.
    """
    return [row for _, row in numbered_rows(path)] if path.exists() else []


def numbered_rows(path: Path) -> list[tuple[int, Row]]:
    """The rows of a file, each with the number of its line; lines of white space are passed over.

    Raises:
        DamagedRows: the file cannot be read, or a line is no JSON object; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DamagedRows(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DamagedRows(f"{path}: not text in UTF-8: {error}") from error
    lines = text.split("\n")  # a text in JSON may hold what `splitlines` takes for an end
    return [(number, _row(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]


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
