"""Plain-text tables. A column is as wide as its widest cell; numbers stand to the right."""

from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and the format specification of its numbers."""

    title: str
    spec: str = ""


def format_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """Lines of text with the titles underlined; None is an empty cell."""
    cells = [[_text(cell, column.spec) for cell, column in zip(row, columns, strict=True)] for row in rows]
    lines = [[column.title for column in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))]
    lines.insert(1, ["─" * width for width in widths])
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    aligned = zip(cells, widths, right, strict=True)
    return "  ".join(cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in aligned).rstrip()


def _text(cell: Cell, spec: str) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else format(cell, spec)
