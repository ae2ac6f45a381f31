"""Output of answers: a table, JSON Lines, CSV or Parquet; on standard output, or in a file that a later run continues.

A file grows while answers come: JSON Lines in itself, the others in a journal beside it (`.FILE.journal`), from which
the file is made at the end. A run that finds either keeps its answers, and asks again for images that failed.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from mimi.errors import BadOption, UnreadableFile, UnwritableFile
from mimi.files import read_file, write_file
from mimi.terminal import RED, Cell, Column, format_table, styled

if TYPE_CHECKING:
    import pyarrow as pa

Answer = dict[str, Any]
"""One image and one task: the keys of `FIELDS`."""

Key = tuple[str, str, str]
Format = Literal["table", "jsonl", "csv", "parquet"]

FIELDS = {
    "image": str,
    "sha256": str,  # of the image's bytes; empty: they cannot be read
    "task": str,
    "version": int,  # None: a file answered
    "adapter": str,  # SHA-256 of the task adapter file
    "label": str,
    "probability": float,
    "predictions": list,  # of label, index, probability; best first
    "labels": tuple,  # names that reach their threshold; None: the task's file has no thresholds
    "known": bool,  # False: the image is like none that the task was trained on; None: the file does not say
    "gflops_spent": float,
    "gflops_saved": float,
    "error": str,
}
_BY_SUFFIX: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "table",
}


def answered(image: str, sha256: str, task: str, **rest: Any) -> Answer:  # noqa: ANN401 - JSON values
    """An answer with all fields; those that are not given are None."""
    best = (rest.get("predictions") or [{}])[0]
    named = {"label": best.get("label"), "probability": best.get("probability")}
    return {**dict.fromkeys(FIELDS), "image": image, "sha256": sha256, "task": task, **named, **rest}


def format_of(path: Path | None, wanted: Format | None) -> Format:
    """The format that was asked for, else that of the file's name, else a table.

    Raises:
        BadOption: the file's name says none, or Parquet has no file to go to.
    """
    chosen = wanted or (_BY_SUFFIX.get(path.suffix.lower()) if path else "table")
    if chosen is None:
        raise BadOption(f"{path}: choose a format with --format, or a name that ends in {', '.join(_BY_SUFFIX)}")
    if chosen == "parquet" and path is None:
        raise BadOption("Parquet goes to a file: name one with --output")
    return chosen


class Output:
    """Takes answers as they come."""

    def __init__(self, path: Path | None, chosen: Format, *, current: Callable[[Answer], bool]) -> None:
        """Open the output.

        Args:
            path: a file; None: standard output.
            chosen: the format.
            current: whether an answer of an earlier run still holds.

        Raises:
            UnreadableFile: the file is there and holds no answers of an earlier run.
            UnwritableFile: it cannot be written.
        """
        self._path, self._format = path, chosen
        self._kept = list[Answer]()  # where nothing can be written before all are there
        self._stream: TextIO | None = None
        self.done: set[Key] = set()
        if path is not None:
            self._journal = path if chosen == "jsonl" else path.with_name(f".{path.name}.journal")
            self._continue(current)

    def add(self, answers: Iterable[Answer]) -> None:
        """Write answers, so that they outlive this process.

        Raises:
            UnwritableFile: the disk is full, say.
        """
        for answer in answers:
            if self._stream is None and self._format in ("table", "csv"):
                self._kept.append(answer)
                continue
            stream = self._stream or sys.stdout
            try:
                stream.write(_line(answer))
                stream.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise UnwritableFile(f"{self._path}: {error.strerror}") from error

    def close(self, *, complete: bool) -> None:
        """Make the whole of it, if it is complete: a table, or the file of a journal."""
        if self._stream is None:
            if self._format in ("table", "csv"):
                sys.stdout.write(_whole(self._kept, self._format))
            return
        self._stream.close()
        if complete and self._path is not None and self._journal != self._path:
            _save(self._path, _read_lines(self._journal), self._format)
            self._journal.unlink()

    def _continue(self, current: Callable[[Answer], bool]) -> None:
        """Keep the good answers of an earlier run, and go on behind them."""
        assert self._path is not None
        earlier = [*_read(self._path, self._format), *(_read_lines(self._journal) if self._partial else ())]
        good = [answer for answer in earlier if answer["error"] is None and current(answer)]
        self.done = {key_of(answer) for answer in good}
        write_file(self._journal, "".join(map(_line, good)).encode())
        try:
            self._stream = self._journal.open("a", encoding="utf-8")
        except OSError as error:
            raise UnwritableFile(f"{self._journal}: {error.strerror}") from error

    @property
    def _partial(self) -> bool:
        return self._journal != self._path and self._journal.exists()


def key_of(answer: Answer) -> Key:
    """The identity of an answer: the task, and the image's name and content."""
    return answer["task"], answer["image"], answer["sha256"]


def _line(answer: Answer) -> str:
    return json.dumps(answer, ensure_ascii=False) + "\n"


def _read(path: Path, chosen: Format) -> list[Answer]:
    """The answers in a file of an earlier run; none if there is no file.

    Raises:
        UnreadableFile: it holds something else.
        UnwritableFile: it is a folder or a device.
    """
    if not path.exists():
        return []
    if not path.is_file():
        raise UnwritableFile(f"{path} is not a plain file: leave --output out to write to standard output")
    try:
        rows = _READERS[chosen](path)
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(path) from error
    if any(row.keys() != FIELDS.keys() for row in rows):
        raise _foreign(path)
    return rows


def _foreign(path: Path) -> UnreadableFile:
    return UnreadableFile(f"{path} is there and holds no answers of this command: name another file, or remove it")


def _read_lines(path: Path) -> list[Answer]:
    """The answers of a journal; a last line that a kill has cut off is left out."""
    lines = read_file(path).decode(errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    return [json.loads(line) for line in lines if line.strip()]


def _read_csv(path: Path) -> list[Answer]:
    rows = csv.DictReader(read_file(path).decode("utf-8-sig").splitlines(keepends=True))
    return [{name: _from_cell(text, FIELDS[name]) for name, text in row.items()} for row in rows]


def _read_parquet(path: Path) -> list[Answer]:
    import pyarrow.parquet as pq

    rows: list[Answer] = pq.read_table(path).to_pylist()
    return rows


def _read_table(path: Path) -> list[Answer]:
    raise _foreign(path)  # a table is for people, and cannot be continued


_READERS: dict[Format, Callable[[Path], list[Answer]]] = {
    "jsonl": _read_lines,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "table": _read_table,
}


def _save(path: Path, answers: Sequence[Answer], chosen: Format) -> None:
    if chosen != "parquet":
        write_file(path, _whole(answers, chosen).encode())
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(answers), _schema()), buffer)
    write_file(path, buffer.getvalue().to_pybytes())


def _schema() -> "pa.Schema":
    import pyarrow as pa

    prediction = pa.struct([("label", pa.string()), ("index", pa.int32()), ("probability", pa.float64())])
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    kinds |= {list: pa.list_(prediction), tuple: pa.list_(pa.string())}
    return pa.schema([(name, kinds[kind]) for name, kind in FIELDS.items()])


def _whole(answers: Sequence[Answer], chosen: Format) -> str:
    if chosen == "table":
        return table_of(answers) + "\n" if answers else ""
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([_to_cell(answer[name]) for name in FIELDS] for answer in answers)
    return buffer.getvalue()


def _to_cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else "" if value is None else value


def _from_cell(text: str, kind: type) -> object:
    if text == "" and kind is not str:
        return None
    if kind in (list, tuple):
        return json.loads(text)
    return (text or None) if kind is str else text == "True" if kind is bool else kind(text)


def table_of(answers: Sequence[Answer]) -> str:
    """For people: the best label of each image, those that follow it, and what failed."""
    several = len({answer["task"] for answer in answers}) > 1
    columns = [Column("image"), *([Column("task")] if several else []), Column("label"), Column("probability", ".3f")]
    rows: list[list[Cell]] = []
    for answer in answers:
        task = [answer["task"]] if several else []
        failed = answer["error"] is not None
        label = f"failed: {answer['error']}" if failed else answer["label"]
        label += " (not a known kind of image)" if answer["known"] is False else ""
        rest = ", ".join(f"{each['label']}={each['probability']:.3f}" for each in (answer["predictions"] or [])[1:])
        rows.append([answer["image"], *task, label, answer["probability"], rest])
    return format_table([*columns, Column("then")], rows)


def summary(asked: int, failed: int, skipped: int, seconds: float) -> str:
    """One line on a run."""
    went = f"{asked - failed:,} answered"
    wrong = styled(f"{failed:,} failed", RED, sys.stderr) if failed else "0 failed"
    earlier = f", {skipped:,} answered by an earlier run" if skipped else ""
    return f"{went}, {wrong}{earlier}; {seconds:.1f} s, {asked / max(seconds, 1e-9):.1f} images/s"
