"""Output of commands: tables, bars, JSON, progress and errors, the same on a terminal, in a pipe and in a file.

Colours and other escape codes go to a terminal only, and never where NO_COLOR is set. Rich is imported by the first
table or progress bar, so that help and errors do without it.
"""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | int | float | None

WIDEST = 100  # columns of help and charts, however wide the terminal is
BOLD, RED, GREEN, YELLOW, CYAN, DIM = "1", "1;31", "32", "33", "36", "2"
_UNLIMITED = 10_000  # columns of a pipe or a file: a table there is not folded
_BLOCKS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and the format specification of its numbers."""

    title: str
    spec: str = ""


def coloured(stream: TextIO) -> bool:
    """Whether escape codes may be written to a stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style (an SGR code) where the stream, else standard output, may have it."""
    return f"\x1b[{style}m{text}\x1b[0m" if coloured(stream or sys.stdout) else text


def width() -> int:
    """Columns for help and charts."""
    return min(WIDEST, shutil.get_terminal_size().columns)


def format_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """Lines of text with the titles underlined; None is an empty cell, and numbers stand to the right.

    On a terminal, long cells are folded to its width.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.Box("    \n    \n ── \n    \n    \n    \n    \n    \n"), show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], int | float | None) for row in rows)
        table.add_column(Text(column.title), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(cell, column.spec)) for cell, column in zip(row, columns, strict=True)))
    console = console_for(sys.stdout)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def console_for(stream: TextIO) -> "Console":
    """Rich's console on a stream: it interprets no markup, because texts come from files and servers."""
    from rich.console import Console

    plain = not coloured(stream)
    return Console(
        file=stream,
        force_terminal=not plain,
        color_system=None if plain else "auto",
        width=None if stream.isatty() else _UNLIMITED,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_facts(facts: Mapping[str, str]) -> None:
    """A line for each fact: its name, and what is known."""
    column = max(map(len, facts)) + 2
    for name, text in facts.items():
        print(f"{styled(name, BOLD)}{' ' * (column - len(name))}{hanging(text, column)}")


def hanging(text: str, indent: int) -> str:
    """Text behind `indent` columns: on a terminal it is wrapped, and goes on under its beginning."""
    if not sys.stdout.isatty():
        return text
    columns = max(20, shutil.get_terminal_size().columns - indent)
    return f"\n{' ' * indent}".join(textwrap.wrap(text, columns, break_on_hyphens=False)) or text


def bar(value: float, most: float, columns: int) -> str:
    """A bar of at most so many columns, in eighths of a column; a value above 0 is visible."""
    eighths = round(8 * columns * value / most) if most else 0
    whole, part = divmod(max(eighths, 1 if value else 0), 8)
    return ("█" * whole + _BLOCKS[part]).rstrip()


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """A line for people, on standard error: it is not part of a command's result."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A warning, on standard error."""
    say(f"{styled('warning:', YELLOW, sys.stderr)} {text}")


def fail(text: str, next_step: str = "") -> None:
    """Print an error and the next step on standard error."""
    say(f"{styled('error:', RED, sys.stderr)} {text}")
    if next_step:
        say(f"{styled('next:', BOLD, sys.stderr)}  {next_step}")


class Progress:
    """Counts what is done; on a terminal it draws a bar on standard error, elsewhere it says nothing."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self._begun = time.monotonic()
        self._draw: Callable[[], object] = lambda: None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    @property
    def rate(self) -> float:
        """Done in a second."""
        return self.done / max(self.seconds, 1e-9)

    def advance(self, *, failed: bool = False) -> None:
        """One more is done."""
        self.done += 1
        self.failed += failed
        self._draw()


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Shows on a terminal that something is under way whose steps cannot be counted; gives a way to say what now is."""
    if not coloured(sys.stderr):
        yield lambda text: None
        return
    with console_for(sys.stderr).status(what) as status:
        yield status.update


@contextmanager
def progress(total: int, what: str) -> Iterator[Progress]:
    """Progress of `total` steps; the bar disappears at the end."""
    counted = Progress(total)
    if not coloured(sys.stderr):
        yield counted
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Bar(*columns, TimeRemainingColumn(), console=console_for(sys.stderr), transient=True) as shown:
        task = shown.add_task(what, total=total, note="")

        def draw() -> None:
            failed = f", {counted.failed} failed" if counted.failed else ""
            shown.update(task, completed=counted.done, note=f"{counted.rate:.0f}/s{failed}")

        counted._draw = draw
        yield counted


def _text(cell: Cell, spec: str) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else format(cell, spec)
