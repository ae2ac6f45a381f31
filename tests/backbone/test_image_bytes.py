"""The cost of an image is judged by its bytes, and metadata never decides whether an image is answered."""

import struct
import zlib
from collections.abc import Callable
from time import thread_time

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from backbone import decode
from backbone.errors import BadImage, ImageTooCostly, ImageTooLarge, UnsupportedMode
from backbone.image_bytes import MOST_METADATA, MOST_PIECES, MOST_SCANS, MOST_SEGMENTS, read
from backbone.images import TINY_BYTES, TINY_PIXELS, inspect, inspect_tiny, work
from tests.backbone.image_files import (
    EOI,
    SIGNATURE,
    chunk,
    encode,
    exif_segment,
    scene,
    segment,
    with_bad_checksum,
    with_chunks,
    with_orientation,
    with_scans,
    with_segments,
)

PNG = encode(scene(), "PNG")
JPEG = encode(scene(), "JPEG", quality=95)
PROGRESSIVE = encode(scene(), "JPEG", progressive=True)
WEBP = encode(scene(), "WEBP", lossless=True)
QUICK = 0.3  # seconds of processor for what is refused, on a slow and busy machine


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data))


def webp_with(*chunks: bytes) -> bytes:
    body = WEBP[8:] + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# ---------------------------------------------------------------- tiny images


@pytest.mark.parametrize("data", [PNG, JPEG, encode(scene().convert("P"), "PNG"), encode(scene().convert("L"), "PNG")])
def test_a_tiny_image_is_judged_as_any_other(data: bytes) -> None:
    assert inspect_tiny(data) == inspect(data)


EMPTY = chunk(b"abCd", b"")
SIDE = int(TINY_PIXELS**0.5)
NOT_TINY: dict[str, bytes] = {
    "another format": WEBP,
    "no format": b"GIF89a",
    "more bytes": with_chunks(PNG, chunk(b"abCd", bytes(TINY_BYTES))),
    "more pixels": encode(Image.new("L", (SIDE + 1, SIDE)), "PNG"),
    "many chunks": with_chunks(PNG, EMPTY * 64),
    "many segments": with_segments(JPEG, segment(0xE1, b"") * 64),
    "a profile": with_chunks(PNG, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(MOST_METADATA)))),
    "packed text": with_chunks(PNG, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(9_999)))),
    "EXIF": with_segments(JPEG, exif_segment(with_orientation(6))),
    "several scans": PROGRESSIVE,
    "no end": JPEG[:-2],
}


@pytest.mark.parametrize("data", NOT_TINY.values(), ids=NOT_TINY)
def test_what_may_take_longer_is_not_tiny(data: bytes) -> None:
    assert inspect_tiny(data) is None


def test_the_largest_tiny_image_is_one() -> None:
    assert inspect_tiny(encode(Image.new("L", (SIDE, SIDE)), "PNG")) is not None
    room = TINY_BYTES - len(with_chunks(PNG, EMPTY))
    assert inspect_tiny(with_chunks(PNG, chunk(b"abCd", bytes(room)))) is not None
    assert inspect_tiny(with_chunks(PNG, chunk(b"abCd", bytes(room + 1)))) is None


def test_a_tiny_image_that_is_damaged_is_refused() -> None:
    with pytest.raises(BadImage):
        inspect_tiny(PNG[:20])
    with pytest.raises(BadImage):
        inspect_tiny(encode(Image.new("L", (7, 7)), "PNG"))


# ---------------------------------------------------------------- cost

COSTLY: dict[str, Callable[[], bytes]] = {
    "scans": lambda: with_scans(PROGRESSIVE, 32_000),
    "scans behind a segment that is too short": lambda: with_scans(PROGRESSIVE, 32_000, between=b"\xff\xfe\0\0"),
    "scans behind an end in a comment": lambda: with_scans(PROGRESSIVE, 1_000, between=segment(0xFE, EOI)),
    "empty chunks": lambda: with_chunks(PNG, chunk(b"abCd", b"") * 800_000),
    "empty pieces of pixels": lambda: with_chunks(PNG, chunk(b"IDAT", b"") * 800_000),
    "empty segments": lambda: with_segments(JPEG, segment(0xE1, b"") * 2_500_000),
    "lone markers": lambda: with_segments(JPEG, b"\xff\x01" * 5_000_000),
    "tables": lambda: with_segments(JPEG, segment(0xDB, bytes([0, *range(1, 65)]) * 900) * 150),
    "empty chunks of webp": lambda: webp_with(b"abcd\0\0\0\0" * 1_000_000),
}


@pytest.mark.parametrize("name", COSTLY)
def test_an_image_that_would_cost_too_much_is_refused_at_once(name: str) -> None:
    data = COSTLY[name]()
    assert len(data) <= 10 * 2**20
    start = thread_time()
    with pytest.raises(ImageTooCostly):
        decode(data)
    assert thread_time() - start < QUICK


CHEAP: dict[str, Callable[[], bytes]] = {
    "photoshop's records": lambda: with_segments(
        JPEG, segment(0xED, b"Photoshop 3.0\0" + b"8BIM\1\0\0\0\0\0\0\0" * 5_000) * 150
    ),
    "comments": lambda: with_segments(JPEG, segment(0xFE, bytes(60_000)) * 150),
    "fill bytes": lambda: with_segments(JPEG, b"\xff" * 9_000_000),
    "strays": lambda: with_segments(JPEG, segment(0xE5, b"") + bytes(9_000_000)),
    "restart markers": lambda: JPEG[:-2] + b"\xff\xd0" * 4_500_000 + EOI,
    "compressed texts": lambda: with_chunks(
        PNG, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(600_000))) * 12_000
    ),
    "entries of EXIF": lambda: with_segments(
        JPEG, exif_segment(with_orientation(1, *[struct.pack("<HHII", 0x9000, 7, 60_000, 8)] * 5_000))
    ),
    "rubbish behind the end": lambda: PNG + bytes(9_000_000),
}


@pytest.mark.parametrize("name", CHEAP)
def test_what_looks_costly_and_is_not_read_costs_nothing(name: str) -> None:
    data, start = CHEAP[name](), thread_time()
    found = pixels(data)
    assert thread_time() - start < QUICK
    assert np.array_equal(found, pixels(PNG if data.startswith(SIGNATURE) else JPEG))


def test_the_bounds_are_the_most_that_is_accepted() -> None:
    own = sum(1 for _ in (b"IHDR", b"IDAT", b"IEND"))
    pixels(with_chunks(PNG, chunk(b"abCd", b"") * (MOST_PIECES - own)))
    with pytest.raises(ImageTooCostly):
        decode(with_chunks(PNG, chunk(b"abCd", b"") * (MOST_PIECES - own + 1)))
    scans = read(PROGRESSIVE).scans
    pixels(with_scans(PROGRESSIVE, MOST_SCANS - scans))
    with pytest.raises(ImageTooCostly):
        decode(with_scans(PROGRESSIVE, MOST_SCANS - scans + 1))


def test_segments_are_counted_wherever_they_stand() -> None:
    with pytest.raises(ImageTooCostly):
        decode(JPEG[:-2] + segment(0xFE, b"") * MOST_SEGMENTS + EOI)


def test_a_large_image_may_have_fewer_scans() -> None:
    wide = with_scans(encode(Image.new("L", (5000, 2500)), "JPEG", progressive=True), 80)
    with pytest.raises(ImageTooCostly, match="scans for its size"):
        inspect(wide)
    assert inspect(with_scans(encode(Image.new("L", (2500, 2500)), "JPEG", progressive=True), 80)).scans > 80


def test_the_size_is_judged_before_any_decoder_makes_room_for_it() -> None:
    header = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + (16_383).to_bytes(3, "little") * 2
    with pytest.raises(ImageTooLarge):
        decode(b"RIFF" + struct.pack("<I", len(header) + 4) + b"WEBP" + header)


def test_work_grows_with_what_makes_an_image_slow() -> None:
    costs = [work(inspect(data)) for data in (PROGRESSIVE, with_scans(PROGRESSIVE, 30), JPEG + bytes(9), JPEG)]
    assert costs[0] < costs[1]
    assert costs[2] == costs[3]  # what follows the end costs nothing
    assert work(inspect(encode(scene(), "JPEG", quality=100))) > costs[3]
    assert work(inspect(JPEG[:-2])) == 2 * (costs[3] - 2 * len(EOI))
    assert work(inspect(PNG)) == 48 * 32
    assert work(inspect(WEBP)) == 2 * 48 * 32


# ---------------------------------------------------------------- metadata

ODD = struct.pack("<HHII", 0xA20E, 5, 1, 0x7FFFFFFF)  # an entry that points out of the file


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"pHYs", b"eXIf", b"tIME", b"abCd", b"iCCP"])
def test_a_wrong_checksum_in_what_is_not_pixels_is_no_matter(kind: bytes) -> None:
    data = with_bad_checksum(with_chunks(PNG, chunk(kind, b"key\0value and more")), kind)
    assert np.array_equal(pixels(data), pixels(PNG))


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_in_what_pixels_mean_is_refused(kind: bytes) -> None:
    data = encode(scene().convert("P"), "PNG")
    with pytest.raises(BadImage):
        decode(with_bad_checksum(data, kind))


def test_a_wrong_checksum_of_transparency_is_no_matter() -> None:
    data = encode(scene().convert("P"), "PNG", transparency=3)
    assert np.array_equal(pixels(with_bad_checksum(data, b"tRNS")), pixels(data))


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70_000_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(70_000_000))),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(70_000_000))),
        chunk(b"iCCP", b"profile\0\0rubbish"),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n4\nno hex")),
        chunk(b"eXIf", b"rubbish"),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        chunk(b"iTXt", b""),
        chunk(b"acTL", b""),
    ],
)
def test_damaged_or_swollen_metadata_is_left_out(bomb: bytes) -> None:
    assert np.array_equal(pixels(with_chunks(PNG, bomb)), pixels(PNG))


@pytest.mark.parametrize(("longer", "turns"), [(0, -1), (1, 0)])
def test_the_most_bytes_of_metadata_are_still_read(longer: int, turns: int) -> None:
    text = b'tiff:Orientation="6"'.ljust(MOST_METADATA + longer)
    found = pixels(with_chunks(PNG, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(text))))
    assert np.array_equal(found, np.rot90(pixels(PNG), turns))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("entries", [(), (ODD,), (ODD, struct.pack("<HHII", 0x0110, 99, 7, 1)), (bytes(12),)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_odd_entry_beside_the_orientation_is_no_matter(
    form: str, entries: tuple[bytes, ...], orientation: int
) -> None:
    exif = with_orientation(orientation, *entries)
    plain = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP}[form]
    data = {
        "PNG": lambda: with_chunks(PNG, chunk(b"eXIf", exif)),
        "JPEG": lambda: with_segments(JPEG, exif_segment(exif)),
        "WEBP": lambda: webp_with(b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)),
    }[form]()
    wanted = Image.fromarray(pixels(plain))
    turned = wanted if orientation == 1 else wanted.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(pixels(data), np.asarray(turned))


@pytest.mark.parametrize("kind", [2, 5, 7, 12])
def test_an_orientation_that_is_no_whole_number_is_none(kind: int) -> None:
    entry = struct.pack("<HHII", 0x0112, kind, 1, 6)
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    assert np.array_equal(pixels(with_chunks(PNG, chunk(b"eXIf", exif))), pixels(PNG))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("text", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
def test_an_orientation_of_xmp_counts_where_exif_says_none(text: str, packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text, zip=packed)
    assert np.array_equal(pixels(encode(scene(), "PNG", pnginfo=info)), np.rot90(pixels(PNG), -1))
    jpeg = with_segments(JPEG, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text.encode()))
    assert np.array_equal(pixels(jpeg), np.rot90(pixels(JPEG), -1))
    xmp = text.encode().ljust(40)
    webp = webp_with(b"XMP " + struct.pack("<I", len(xmp)) + xmp)
    assert np.array_equal(pixels(webp), np.rot90(pixels(WEBP), -1))
    own = with_segments(jpeg, exif_segment(with_orientation(1)))
    assert np.array_equal(pixels(own), pixels(JPEG))


@pytest.mark.parametrize("packed", [False, True])
def test_an_orientation_in_the_text_that_imagemagick_writes_counts(packed: bool) -> None:
    raw, info = with_orientation(6), PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=packed)
    assert np.array_equal(pixels(encode(scene(), "PNG", pnginfo=info)), np.rot90(pixels(PNG), -1))


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, encode(scene(400, 300), "JPEG")])
def test_a_jpeg_without_its_end_marker_is_answered_if_all_rows_are_there(data: bytes) -> None:
    assert np.array_equal(pixels(data[:-2]), pixels(data))
    assert np.array_equal(pixels(data[:-2] + b"\0" * 9), pixels(data))


@pytest.mark.parametrize("data", [JPEG, encode(scene(400, 300), "JPEG", quality=99)])
def test_a_jpeg_without_its_last_rows_is_refused(data: bytes) -> None:
    for cut in (40, len(data) // 4, len(data) // 2):
        with pytest.raises(BadImage):
            decode(data[:-cut])


def test_a_jpeg_that_ends_between_its_segments_is_refused() -> None:
    with pytest.raises(BadImage):
        decode(JPEG[:2] + segment(0xFE, b"comment") + bytes(20_000))


def test_what_follows_the_end_of_a_jpeg_is_not_read() -> None:
    assert np.array_equal(pixels(JPEG + PROGRESSIVE * 300), pixels(JPEG))


def test_a_jpeg_of_twelve_bits_is_refused_by_its_header() -> None:
    at = JPEG.index(b"\xff\xc0")
    with pytest.raises(UnsupportedMode):
        decode(JPEG[: at + 4] + b"\x0c" + JPEG[at + 5 :])


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xd9", JPEG[: JPEG.index(b"\xff\xda")], SIGNATURE + bytes(8), WEBP[:20]]
)
def test_a_container_without_an_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        decode(data)


def test_two_headers_of_a_frame_are_refused() -> None:
    at = JPEG.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", JPEG, at + 2)
    frame = JPEG[at : at + 2 + length]
    with pytest.raises(BadImage):
        decode(JPEG[:at] + frame + JPEG[at:])
