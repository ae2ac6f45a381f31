"""Makers of image files: odd ones that users' tools write, and ones that are made to cost a server much."""

import io
import struct
import zlib
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageCms

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def scene(width: int = 48, height: int = 32) -> Image.Image:
    """A picture whose corners differ."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.dstack([x * 5 % 256, y * 7 % 256, (x + y) * 3 % 256]).astype(np.uint8))


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, *, sound: bool = True) -> bytes:
    """A chunk of a PNG; with a wrong checksum unless it is sound."""
    crc = zlib.crc32(kind + data) ^ (0 if sound else 1)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """The same PNG with more chunks behind its header."""
    end = len(SIGNATURE) + 25
    return b"".join([png[:end], *chunks, png[end:]])


def segment(code: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, code, len(data) + 2) + data


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The same JPEG with more segments at its start."""
    return b"".join([SOI, *segments, jpeg[2:]])


def with_scans(progressive: bytes, count: int, *, between: bytes = b"") -> bytes:
    """The same progressive JPEG with so many more scans, which have a header and no data."""
    last = progressive.rindex(b"\xff\xda")
    (length,) = struct.unpack_from(">H", progressive, last + 2)
    empty = progressive[last : last + 2 + length]
    return progressive[: -len(EOI)] + (between + empty) * count + EOI


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def with_bad_checksum(png: bytes, kind: bytes) -> bytes:
    """The same PNG with a wrong checksum in the first chunk of this kind."""
    at = png.index(kind)
    (length,) = struct.unpack_from(">I", png, at - 4)
    end = at + 4 + length
    return png[:end] + bytes([png[end] ^ 1]) + png[end + 1 :]


def with_orientation(orientation: int, *entries: bytes) -> bytes:
    """EXIF with more entries of 12 bytes before that of the orientation, written by no library that would mend them."""
    ours = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, len(entries) + 1) + b"".join([*entries, ours]) + bytes(4)


def exif_segment(exif: bytes) -> bytes:
    """The segment of a JPEG that carries EXIF."""
    return segment(0xE1, b"Exif\0\0" + exif)


def profile(*colorants: tuple[float, float, float], tag: bytes = b"XYZ") -> bytes:
    """A profile of ICC with the curve of sRGB, and these colorants instead of its own (X, Y, Z of D50)."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", made, 128)
    for index in range(count):
        name, at, _ = struct.unpack_from(">4sII", made, 132 + 12 * index)
        for letter, values in zip(b"rgb", colorants, strict=False):
            if name == bytes([letter]) + tag:
                struct.pack_into(">3i", made, at + 8, *(round(value * 65536) for value in values))
    return bytes(made)


DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def joined(pieces: Iterable[bytes]) -> bytes:
    """All pieces, one after the other."""
    return b"".join(pieces)
