"""The file that corrections lie in: one SQLite database, bounded in images and bytes.

A full storage refuses the next correction: nobody's work is dropped in silence. Room comes from deleting what was
exported. An image is kept once for each task; a later correction of it replaces the earlier one.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import FeedbackFull, FeedbackUnavailable, UnknownFeedback

_APPLICATION = 0x4D694D46  # "MiMF"
_TABLE = """
CREATE TABLE IF NOT EXISTS corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, sha256 TEXT NOT NULL, labels TEXT NOT NULL,
    version INTEGER NOT NULL, predicted TEXT NOT NULL, probability REAL NOT NULL, unknown_score REAL,
    created_at REAL NOT NULL, image BLOB NOT NULL, UNIQUE (task, sha256)
)"""
_COLUMNS = "id, task, labels, version, predicted, probability, unknown_score, created_at, length(image)"
_ORDER = "ORDER BY coalesce(unknown_score, 0) > 1 DESC, probability, id"  # unknown images first, then uncertain ones
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """The answer of a task's version about an image: its best label."""

    version: int
    label: str
    probability: float
    unknown_score: float | None  # above 1: the task does not know such images


@dataclass(frozen=True, slots=True)
class Correction:
    """An image (encoded, as it was sent) with its right labels, and what the task said."""

    task: str
    labels: tuple[str, ...]
    image: bytes
    opinion: Opinion


@dataclass(frozen=True, slots=True)
class Kept:
    """A correction that is kept, without its image."""

    id: int
    task: str
    labels: tuple[str, ...]
    opinion: Opinion
    created_at: float  # seconds since 1970
    size: int  # bytes of the image


class FeedbackFile:
    """Keeps corrections. Safe for several threads and processes, because every call opens the file anew."""

    def __init__(
        self, path: Path, *, most_images: int, most_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        """Create the file if there is none, for its owner only.

        Raises:
            FeedbackUnavailable: it cannot be created, or is something else.
        """
        self._path, self._most_images, self._most_bytes, self._clock = path, most_images, most_bytes, clock
        with _explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with self._opened() as file:
            (application,) = file.execute("PRAGMA application_id").fetchone()
            (tables,) = file.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if application != _APPLICATION and tables:
                raise FeedbackUnavailable("the file of corrections is another program's database")
            file.execute(f"PRAGMA application_id = {_APPLICATION}")
            file.execute("PRAGMA journal_mode = WAL")
            file.execute(_TABLE)

    def add(self, correction: Correction) -> Kept:
        """Keep a correction, in the place of an earlier one of the same image and task.

        Raises:
            FeedbackFull: there is no room for it.
            FeedbackUnavailable: the file cannot be written.
        """
        sha256, said = hashlib.sha256(correction.image).hexdigest(), correction.opinion
        with self._opened() as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute("DELETE FROM corrections WHERE task = ? AND sha256 = ?", (correction.task, sha256))
            images, size = file.execute("SELECT count(*), coalesce(sum(length(image)), 0) FROM corrections").fetchone()
            if images >= self._most_images or size + len(correction.image) > self._most_bytes:
                file.execute("ROLLBACK")
                raise FeedbackFull("there is no room for another correction: export what is there, then delete it")
            values = (correction.task, sha256, json.dumps(correction.labels), said.version, said.label)
            more = (said.probability, said.unknown_score, self._clock(), correction.image)
            number = file.execute(
                "INSERT INTO corrections (task, sha256, labels, version, predicted, probability, unknown_score, "
                "created_at, image) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, *more),
            ).lastrowid
            file.execute("COMMIT")
            return _kept(file.execute(f"SELECT {_COLUMNS} FROM corrections WHERE id = ?", (number,)).fetchone())

    def list(self, task: str | None, *, limit: int, offset: int = 0) -> list[Kept]:
        """Corrections of a task, or of all, the unknown and then the uncertain images first."""
        with self._opened() as file:
            rows = file.execute(
                f"SELECT {_COLUMNS} FROM corrections WHERE task = coalesce(?, task) {_ORDER} LIMIT ? OFFSET ?",
                (task, limit, offset),
            )
            return [_kept(row) for row in rows]

    def image(self, task: str, number: int) -> bytes:
        """The image of a correction.

        Raises:
            UnknownFeedback: there is no such correction.
        """
        with self._opened() as file:
            found = file.execute("SELECT image FROM corrections WHERE task = ? AND id = ?", (task, number)).fetchone()
        if found is None:
            raise UnknownFeedback("there is no such correction")
        return bytes(found[0])

    def delete(self, task: str, number: int | None = None) -> int:
        """Delete one correction of a task, or all; its bytes leave the file. Returns how many there were.

        Raises:
            UnknownFeedback: there is no such correction.
        """
        with self._opened() as file:
            gone = file.execute(
                "DELETE FROM corrections WHERE task = ? AND id = coalesce(?, id)", (task, number)
            ).rowcount
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if number is not None and not gone:
            raise UnknownFeedback("there is no such correction")
        return gone

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with _explained(), closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as file:
            file.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            yield file


def _kept(row: tuple[int, str, str, int, str, float, float | None, float, int]) -> Kept:
    number, task, labels, version, predicted, probability, unknown, created, size = row
    opinion = Opinion(version, predicted, probability, unknown)
    return Kept(number, task, tuple(json.loads(labels)), opinion, created, size)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of SQLite and of the file system into ours."""
    try:
        yield
    except sqlite3.Error as error:
        kind = FeedbackFull if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL else FeedbackUnavailable
        raise kind("the file of corrections cannot be used now") from error
    except OSError as error:
        raise FeedbackUnavailable(f"the file of corrections cannot be used: {os.strerror(error.errno or 0)}") from error
