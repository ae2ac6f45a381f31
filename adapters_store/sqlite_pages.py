"""The rows of a damaged SQLite file, read from its pages without following the b-tree.

A page of rows ("table leaf") describes itself. So every row on an intact page is found, also if the pages above it are
damaged. A row that does not fit its page continues on a chain of overflow pages. The format is described at
https://www.sqlite.org/fileformat2.html. Only the table of objects is known here: name, time, body.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 100
DEFAULT_PAGE_BYTES = 4096
_PAGE_SIZES = frozenset(2**power for power in range(9, 17))
_TABLE_LEAF = 0x0D
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # by serial type; 7 is a float, 8 and 9 are the numbers 0 and 1
_FLOAT = 7
_FIRST_BLOB, _FIRST_TEXT = 12, 13  # serial types; blobs are even, texts odd
_COLUMNS = 3
_LONGEST_NAME = 200  # bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One object: where its bytes are in the file."""

    name: str
    written_at: float
    size: int  # bytes of the body
    start: int  # of the body, in the row's payload
    local: bytes  # the part of the payload on the row's own page
    overflow: int  # number of the next page, 0 if there is none


class PageReader:
    """Reads every row of the table of objects that an intact page holds.

    Attributes:
        application_id: the mark of the program that wrote the file, if its header is intact.
        rows: by name.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        header = os.pread(self._file, HEADER_BYTES, 0).ljust(HEADER_BYTES, b"\0")
        size = struct.unpack_from(">H", header, 16)[0]
        self._size = size if size in _PAGE_SIZES else DEFAULT_PAGE_BYTES
        self._usable = self._size - (header[20] if size in _PAGE_SIZES else 0)
        self._count = os.fstat(self._file).st_size // self._size
        self.application_id = struct.unpack_from(">I", header, 68)[0]
        free = self._free_pages(struct.unpack_from(">I", header, 32)[0])
        used = (page for page in range(1, self._count + 1) if page not in free)
        self.rows = {row.name: row for page in used for row in self._rows(page)}

    def body(self, row: Row) -> bytes:
        """Return a row's body. If its overflow pages are damaged, the body is too short or wrong."""
        payload, page, seen = bytearray(row.local), row.overflow, set[int]()
        while page and page not in seen and len(payload) < row.start + row.size:
            seen.add(page)
            data = self._page(page)
            page = int.from_bytes(data[:4], "big")
            payload += data[4 : self._usable]
        return bytes(payload[row.start : row.start + row.size])

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _page(self, number: int) -> bytes:
        return os.pread(self._file, self._size, (number - 1) * self._size) if number <= self._count else b""

    def _free_pages(self, trunk: int) -> set[int]:
        """Return the pages that hold nothing any more; old rows may still lie there."""
        free = set[int]()
        while 0 < trunk <= self._count and trunk not in free:
            free.add(trunk)
            data = self._page(trunk)
            trunk, leaves = struct.unpack_from(">II", data)
            if leaves <= (self._size - 8) // 4:
                free.update(struct.unpack_from(f">{leaves}I", data, 8))
        return free

    def _rows(self, number: int) -> Iterator[Row]:
        data = self._page(number)
        start = HEADER_BYTES if number == 1 else 0
        if data[start] != _TABLE_LEAF:
            return
        cells = struct.unpack_from(">H", data, start + 3)[0]
        for cell in range(min(cells, (self._size - start - 8) // 2)):
            with suppress(IndexError, ValueError, struct.error):  # a cell of a damaged page
                if (row := self._row(data, struct.unpack_from(">H", data, start + 8 + 2 * cell)[0])) is not None:
                    yield row

    def _row(self, page: bytes, at: int) -> Row | None:
        size, at = _varint(page, at)
        _, at = _varint(page, at)  # the row's number
        kept = self._local_bytes(size)
        local = page[at : at + kept]
        overflow = int.from_bytes(page[at + kept : at + kept + 4], "big") if kept < size else 0
        types, start = _serial_types(local)
        if len(types) != _COLUMNS or types[0] < _FIRST_TEXT or types[0] % 2 == 0 or types[2] < _FIRST_BLOB:
            return None
        name_bytes = (types[0] - _FIRST_TEXT) // 2
        if name_bytes > _LONGEST_NAME:
            return None
        name = local[start : start + name_bytes].decode()
        at = start + name_bytes
        written_at, length = _number(local, at, types[1])
        return Row(name, written_at, (types[2] - _FIRST_BLOB) // 2, at + length, local, overflow)

    def _local_bytes(self, size: int) -> int:
        """Return how many bytes of a payload are on the row's own page."""
        most, least = self._usable - 35, (self._usable - 12) * 32 // 255 - 23
        if size <= most:
            return size
        fitting = least + (size - least) % (self._usable - 4)
        return fitting if fitting <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9


def _serial_types(payload: bytes) -> tuple[list[int], int]:
    """Return the types of a row's columns, and where the columns begin."""
    end, at = _varint(payload, 0)
    types = []
    while at < end:
        kind, at = _varint(payload, at)
        types.append(kind)
    return types, end


def _number(payload: bytes, at: int, kind: int) -> tuple[float, int]:
    """Return a number and how many bytes it takes; SQLite stores a float without a fraction as an integer."""
    length = _INTEGER_BYTES[kind]
    if kind == _FLOAT:
        return struct.unpack_from(">d", payload, at)[0], length
    return float(int.from_bytes(payload[at : at + length], "big", signed=True)), length
