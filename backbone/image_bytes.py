"""Reads an encoded image's format, size and metadata from its bytes, before any decoder sees them.

A container is walked piece by piece, and the walk is bounded: more pieces than any camera or tool writes are refused.
Metadata is removed on the way, so that no decoder parses it. The decoder gets only the pixels.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from backbone.errors import BadImage, ImageTooCostly, UnsupportedFormat, UnsupportedMode

Format = Literal["JPEG", "PNG", "WEBP", "AVIF", "HEIF"]

MOST_PIECES = 16_384  # chunks of a PNG or WebP; a PNG of 10 MiB in pieces of 1 KiB has 10,240
MOST_SEGMENTS = 2_048  # of a JPEG, scans included; a depth map of 10 MiB in XMP has 160
MOST_SCANS = 100  # of a JPEG; the optimisers that write most write 20
MOST_TABLES = 2**17  # bytes before the first scan of a JPEG, metadata left out; a camera writes 1 KiB
MOST_METADATA = 2**20  # bytes of one kind of metadata, inflated; what is longer is left out

_MOST_ICC = 16  # pieces, of 64 KiB each
_PNG = b"\x89PNG\r\n\x1a\n"
_KIND = re.compile(rb"\w{4}")
_KEYWORD = 80  # bytes of a text chunk's keyword, and the zero that ends it
_PNG_TEXTS = {b"Raw profile type exif": "exif_text", b"XML:com.adobe.xmp": "xmp"}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})

_FILL, _EOI, _SOS, _FRAMES = 0xFF, 0xD9, 0xDA, frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that carry nothing: TEM, RSTn, SOI
_KEPT = frozenset({0xE0, 0xEE})  # JFIF and Adobe say how colours are coded; the other APPn and comments do not
_STEPS = (4_096, 262_144)  # bytes that are searched at once for a marker: the first time, and at most


@dataclass(frozen=True, slots=True)
class Encoded:
    """One image, still encoded.

    Attributes:
        format: as Pillow calls it.
        size: width and height, in pixels, as they are stored; (0, 0): only its decoder can tell.
        data: for the decoder; without metadata.
        whole: whether the container was there to its end.
        scans: how often a decoder goes over all pixels.
        stored: whether the decoder must keep coefficients of all pixels, as for a progressive JPEG.
        exif, xmp, icc: metadata, at most `MOST_METADATA` bytes each; empty: none.
    """

    format: Format
    size: tuple[int, int]
    data: bytes
    whole: bool = True
    scans: int = 1
    stored: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""


def read(data: bytes, *, most: int = MOST_PIECES) -> Encoded:
    """Walk the container, over at most `most` pieces, and at most as many as its format may have.

    Raises:
        UnsupportedFormat: the format is not known here.
        ImageTooCostly: it has more pieces than any image needs.
        BadImage: the container is damaged.
    """
    form = format_of(data)
    reader = _READERS.get(form) if form else None
    if form is None:
        raise UnsupportedFormat("the bytes are not an image of a known format")
    try:
        return reader(data, most) if reader else Encoded(form, (0, 0), data)
    except (struct.error, IndexError) as error:
        raise BadImage("the image is truncated or corrupt") from error


def format_of(data: bytes) -> Format | None:
    """The format by the first bytes; None: it is not known here."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] != b"ftyp":
        return None
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(len(data), 64, _be32(data, 0)), 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _be32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def inflated(data: bytes) -> bytes:
    """Text or a profile that was compressed; empty if it is damaged or longer than `MOST_METADATA`."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MOST_METADATA)
    except zlib.error:
        return b""
    return b"" if stream.unconsumed_tail else text


# ---------------------------------------------------------------- PNG


def _read_png(data: bytes, most: int) -> Encoded:
    head, rows, whole = [data[:8]], [], False
    told: dict[str, tuple[bytes, bytes]] = {}  # of each kind of metadata the last chunk, still packed
    for kind, start, end in _png_chunks(data, most):
        if kind == b"IDAT":
            rows.append(data[start:end])
        elif kind in (b"IHDR", b"PLTE") and not rows:
            head.append(data[start - 8 : end + 4])  # with the checksum that came: the decoder judges it
        elif kind == b"tRNS" and not rows:
            head.append(_png_chunk(kind, data[start:end]))
        elif kind == b"IEND":
            whole = True
        elif name := _png_metadata(kind, data[start : min(end, start + _KEYWORD)]):
            told[name] = kind, data[start:end]
    if len(head) < 2 or head[1][4:8] != b"IHDR":  # noqa: PLR2004 - the signature alone
        raise BadImage("the image is truncated or corrupt")
    width, height = struct.unpack_from(">II", head[1], 8)
    text = {name: _png_text(*chunk) for name, chunk in told.items()}
    exif = text.get("exif") or _hex_exif(text.get("exif_text", b""))
    body = b"".join([*head, _png_chunk(b"IDAT", b"".join(rows)), _png_chunk(b"IEND", b"")])
    return Encoded("PNG", (width, height), body, whole, exif=exif, xmp=text.get("xmp", b""), icc=text.get("icc", b""))


def _png_chunks(data: bytes, most: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind, begin and end of each chunk; stops at IEND, or at bytes that are not a chunk."""
    at = len(_PNG)
    for _ in range(most):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if not _KIND.fullmatch(kind):
            return
        yield kind, at + 8, at + 8 + length
        if kind == b"IEND":
            return
        at += 12 + length
    raise ImageTooCostly(f"the image has more than {most} chunks")


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))])


def _png_metadata(kind: bytes, start: bytes) -> str:
    """The kind of metadata in a chunk with these first bytes; empty if it has none that is used."""
    if kind in (b"eXIf", b"iCCP"):
        return "exif" if kind == b"eXIf" else "icc"
    return _PNG_TEXTS.get(start.partition(b"\0")[0], "") if kind in (b"tEXt", b"zTXt", b"iTXt") else ""


def _png_text(kind: bytes, data: bytes) -> bytes:
    """The contents of such a chunk, inflated if they are compressed."""
    if kind == b"eXIf":
        return data[:MOST_METADATA]
    text = data.partition(b"\0")[2]
    if kind == b"tEXt":
        return text[:MOST_METADATA]
    if kind in (b"zTXt", b"iCCP"):
        return inflated(text[1:])
    body = text[2:].split(b"\0", 2)[-1]  # behind the language and the translated keyword
    return inflated(body) if text.startswith(b"\1") else body[:MOST_METADATA]


def _hex_exif(text: bytes) -> bytes:
    """EXIF as ImageMagick writes it into text: three lines of header, then hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""


# ---------------------------------------------------------------- JPEG


@dataclass(slots=True)
class _Jpeg:
    """The state of a walk over a JPEG."""

    size: tuple[int, int] = (0, 0)
    stored: bool = False
    scans: int = 0
    pixels_at: int = 0  # where the first scan's marker begins
    end: int = 0  # behind the end marker; 0: there is none
    exif: bytes = b""
    xmp: bytes = b""
    icc: list[bytes] = field(default_factory=list)  # pieces, each behind its number


def _read_jpeg(data: bytes, most: int) -> Encoded:
    seen, kept, at, tables = _Jpeg(), [data[:2]], 2, 0
    for _ in range(most := min(most, MOST_SEGMENTS)):
        found = _marker(data, at, scanned=seen.scans > 0)
        if found < 0:
            break
        code, at = data[found + 1], found + 2
        if code == _EOI:
            seen.end = at
            break
        if code in _LONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        body, at = data[at + 2 : at + length], at + max(length, 2)  # one too short counts as empty, as in libjpeg
        _note(seen, code, body, found)
        if not seen.scans and (code < 0xE0 or code in _KEPT):  # noqa: PLR2004 - APP0, the first that is metadata
            kept.append(data[found:at])
            tables += length
    else:
        raise ImageTooCostly(f"the image has more than {most} segments")
    if tables > MOST_TABLES:
        raise ImageTooCostly(f"the image has more than {MOST_TABLES} bytes of tables")
    if not seen.scans or seen.size == (0, 0):
        raise BadImage("the image is truncated or corrupt")
    body = b"".join([*kept, data[seen.pixels_at : seen.end or len(data)]])
    icc = b"".join(piece[2:] for piece in sorted(seen.icc))
    return Encoded(
        "JPEG", seen.size, body, bool(seen.end), seen.scans, seen.stored, exif=seen.exif, xmp=seen.xmp, icc=icc
    )


def _note(seen: _Jpeg, code: int, body: bytes, at: int) -> None:
    """Keep what one segment says."""
    if code == _SOS:
        seen.scans += 1
        seen.pixels_at = seen.pixels_at or at
        if seen.scans > MOST_SCANS:
            raise ImageTooCostly(f"the image has more than {MOST_SCANS} scans")
        seen.stored = seen.stored or seen.scans > 1
    elif code in _FRAMES:
        if seen.size != (0, 0):
            raise BadImage("the image is truncated or corrupt")
        if body[0] != 8:  # noqa: PLR2004 - bits of a sample
            raise UnsupportedMode("JPEG images with other than 8-bit samples are not supported")
        height, width = struct.unpack_from(">HH", body, 1)
        seen.size, seen.stored = (width, height), code in _PROGRESSIVE
    elif code == 0xE1 and body.startswith(b"Exif\0\0") and len(seen.exif) < MOST_METADATA:  # noqa: PLR2004 - APP1
        seen.exif += body[6:]
    elif code == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):  # noqa: PLR2004 - APP1
        seen.xmp = body[29:]
    elif code == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(seen.icc) < _MOST_ICC:  # noqa: PLR2004 - APP2
        seen.icc.append(body[12:])


_ENDS_JUNK = np.array([code not in {0, _FILL} for code in range(256)])
_ENDS_SCAN = np.array([code not in {0, _FILL, *range(0xD0, 0xD8)} for code in range(256)])


def _marker(data: bytes, at: int, *, scanned: bool) -> int:
    """The position of the next marker; -1 if there is none.

    Passed over are fill bytes and strays and, behind a scan's header, stuffed bytes and restart markers. There may be
    millions of them, so they are looked at many at a time.
    """
    ends = _ENDS_SCAN if scanned else _ENDS_JUNK
    if at + 1 < len(data) and data[at] == _FILL and ends[data[at + 1]]:
        return at
    codes, step = np.frombuffer(data, np.uint8), _STEPS[0]
    while at + 1 < len(data):
        piece = codes[at : at + step + 1]
        places = np.flatnonzero(piece[:-1] == _FILL)
        places = places[ends[piece[places + 1]]]
        if len(places):
            return at + int(places[0])
        at, step = at + step, min(4 * step, _STEPS[1])
    return -1


# ---------------------------------------------------------------- WebP


def _read_webp(data: bytes, most: int) -> Encoded:
    at, image = 12, Encoded("WEBP", (0, 0), data)
    for _ in range(most):
        if at + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        body = slice(at + 8, at + 8 + min(length, MOST_METADATA))
        if image.size == (0, 0):
            image = replace(image, size=_webp_size(kind, data[body][:10]))
        elif kind == b"EXIF":
            image = replace(image, exif=data[body])
        elif kind == b"XMP ":
            image = replace(image, xmp=data[body])
        elif kind == b"ICCP":
            image = replace(image, icc=data[body])
        at += 8 + length + length % 2
    else:
        raise ImageTooCostly(f"the image has more than {most} chunks")
    return image


def _webp_size(kind: bytes, head: bytes) -> tuple[int, int]:
    """Width and height by the first chunk."""
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise BadImage("the image is truncated or corrupt")


_READERS: Mapping[Format, Callable[[bytes, int], Encoded]] = {"JPEG": _read_jpeg, "PNG": _read_png, "WEBP": _read_webp}
