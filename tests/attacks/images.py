"""Makers of images that attack a decoder: files that cost far more than their size, and files that look like others.

Every maker returns bytes and needs Pillow and numpy alone. Sizes are parameters, so that tests can use small ones.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

MOST_BYTES = 10 * 2**20  # of one image, by the server's default
SIDE = 4000  # pixels; 16 MP
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = frozenset({0xD8, 0x01, *range(0xD0, 0xD8)})  # markers without a length


def progressive_scans(scans: int = 32_000, *, side: int = SIDE) -> bytes:
    """A progressive JPEG with very many scans that change nothing; each walks over all of its blocks."""
    data = saved(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    scan = min((piece for kind, piece in jpeg_segments(data) if kind == _START_OF_SCAN), key=len)
    return data[:-2] + scan * scans + data[-2:]


def png_empty_chunks(chunks: int = 800_000) -> bytes:
    """A small PNG with very many empty private chunks."""
    return with_chunks(small("PNG"), png_chunk(b"teSt", b"") * chunks)


def jpeg_empty_markers(markers: int = 2_500_000) -> bytes:
    """A small JPEG with very many empty application segments."""
    return _after_start(small("JPEG"), b"\xff\xe5\x00\x02" * markers)


def jpeg_photoshop_records(records: int = 800_000) -> bytes:
    """A small JPEG whose Photoshop segments hold very many empty 8BIM records."""
    head, record, most = b"Photoshop 3.0\x00", b"8BIM\x04\x04\x00\x00\x00\x00\x00\x00", 5000
    segments = [jpeg_segment(0xED, head + record * min(most, records - start)) for start in range(0, records, most)]
    return _after_start(small("JPEG"), b"".join(segments))


def jpeg_comments(count: int = 100) -> bytes:
    """A small JPEG with very many comments of the largest size."""
    return _after_start(small("JPEG"), jpeg_segment(0xFE, b"x" * 65_000) * count)


def flat_png(*, side: int = SIDE, mode: str = "L") -> bytes:
    """A flat image of 16 MP in a few kilobytes."""
    return saved(Image.new(mode, (side, side), 128 if mode == "L" else 0), "PNG", optimize=True)


def flat_jpeg(*, side: int = SIDE) -> bytes:
    """A flat colour JPEG of 16 MP."""
    return saved(Image.new("RGB", (side, side), (90, 120, 30)), "JPEG", quality=1, progressive=True)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises a size, and which is otherwise empty."""
    return _png(width, height, zlib.compress(b""))


def text_bomb(size: int = 70_000_000) -> bytes:
    """A PNG with a compressed text chunk that unpacks to `size` bytes."""
    return with_chunks(bomb(10, 10), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(size))))


def profile_bomb(size: int = 70_000_000) -> bytes:
    """A PNG with a compressed colour profile that unpacks to `size` bytes."""
    return with_chunks(bomb(10, 10), png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(size))))


def long_idat(size: int = 200_000_000) -> bytes:
    """A small PNG whose image data unpacks to far more than its rows."""
    return _png(16, 16, zlib.compress(bytes(size), 9))


def frames(kind: str = "PNG", count: int = 400) -> bytes:
    """An animation of many frames."""
    pictures = [Image.new("RGB", (64, 64), (number % 256, 0, 0)) for number in range(count)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:])


def orientation(value: int, *, garbage: bool = False) -> bytes:
    """A JPEG with an EXIF orientation, sound or with damaged entries behind it."""
    exif = Image.Exif()
    exif[0x0112] = value
    data = exif.tobytes() + (b"\xff" * 64 if garbage else b"")
    return saved(picture(), "JPEG", exif=data)


def sixteen_bit(kind: str = "PNG") -> bytes:
    """An image of 16-bit samples."""
    return saved(Image.fromarray(np.full((40, 40), 300, np.uint16)), kind)


def floats() -> bytes:
    """A TIFF of floating-point samples."""
    return saved(Image.fromarray(np.full((40, 40), 0.5, np.float32)), "TIFF")


def small(kind: str) -> bytes:
    """A sound small image."""
    return saved(picture(), kind)


def picture() -> Image.Image:
    """Random pixels, 64 x 48."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(data: bytes, chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    header = 8 + 25  # signature and IHDR
    return data[:header] + chunks + data[header:]


def jpeg_segment(kind: int, data: bytes) -> bytes:
    """One marker segment."""
    return bytes((0xFF, kind)) + struct.pack(">H", len(data) + 2) + data


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers with their bytes; a scan includes its entropy-coded data."""
    place = 0
    while place < len(data) - 1:
        kind = data[place + 1]
        if kind in _ALONE or kind == _END_OF_IMAGE:
            end = place + 2
        else:
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if kind == _START_OF_SCAN:
            while not (data[end] == 0xFF and data[end + 1] not in {0, *range(0xD0, 0xD8)}):
                end += 1
        yield kind, data[place:end]
        place = end


def _after_start(data: bytes, more: bytes) -> bytes:
    return data[:2] + more + data[2:]


def _png(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
