"""Hostile images are refused with their error, unusual ones are answered, and none causes a 500."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.backbone.image_files import chunk, segment, with_chunks, with_scans, with_segments
from tests.service.asking import Body, answer, form, predict, raw
from tests.service.asking import json as as_json
from tests.service.hostile import quick, refused
from tests.service.live import Live, encode, picture

pytestmark = pytest.mark.usefixtures("alive")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG whose header promises a size, and which is otherwise empty."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


PICTURE = Image.fromarray(picture(3))
GOOD = encode(picture(3))
REFUSED: dict[str, tuple[bytes, int]] = {
    "text": (b"hello", 415),
    "gif": (saved(PICTURE, "GIF"), 415),
    "tiff": (saved(PICTURE, "TIFF"), 415),
    "bmp": (saved(PICTURE, "BMP"), 415),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
    "zip": (b"PK\x03\x04" + bytes(100), 415),
    "riff that is no webp": (b"RIFF\x00\x00\x00\x00WAVE", 415),
    "bomb of 144 megapixels": (png(12_000, 12_000), 413),
    "bomb of 400 megapixels": (png(20_000, 20_000), 413),
    "51 megapixels": (saved(Image.new("1", (8000, 6400)), "PNG"), 413),
    "one long side": (png(8193, 1000), 413),
    "nothing wide": (png(0, 10), 422),
    "one pixel": (encode(picture(0, size=(1, 1))), 422),
    "thin": (encode(picture(0, size=(8, 200))), 422),
    "cut": (GOOD[:200], 422),
    "header alone": (GOOD[:33], 422),
    "magic alone": (b"\x89PNG\r\n\x1a\n", 422),
    "jpeg magic alone": (b"\xff\xd8\xff", 422),
    "32,000 scans": (with_scans(saved(PICTURE, "JPEG", progressive=True), 32_000), 422),
    "800,000 chunks": (png(10, 10, chunk(b"abCd", b"") * 800_000), 422),
    "2,500,000 markers": (with_segments(saved(PICTURE, "JPEG"), segment(0xE1, b"") * 2_500_000), 422),
}
ACCEPTED = {
    "jpeg": saved(PICTURE, "JPEG"),
    "progressive": saved(PICTURE, "JPEG", progressive=True),
    "cmyk": saved(PICTURE.convert("CMYK"), "JPEG"),
    "webp": saved(PICTURE, "WEBP"),
    "grey": saved(PICTURE.convert("L"), "PNG"),
    "grey with alpha": saved(PICTURE.convert("LA"), "PNG"),
    "16 bit": saved(Image.fromarray(np.zeros((10, 10), np.uint16)), "PNG"),
    "text chunk bomb": with_chunks(GOOD, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000)))),
    "text with a wrong checksum": with_chunks(GOOD, chunk(b"tEXt", b"a\0b", sound=False)),
    "rubbish for EXIF": with_chunks(GOOD, chunk(b"eXIf", b"rubbish")),
    "jpeg without its end": saved(PICTURE, "JPEG")[:-2],
    "24 megapixels": saved(Image.new("L", (5712, 4284)), "JPEG"),
    "palette": saved(PICTURE.convert("P"), "PNG", transparency=3),
    "one bit": saved(PICTURE.convert("1"), "PNG"),
    "animated png": saved(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)]),
    "animated webp": saved(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)]),
    "png and zip at once": GOOD + b"PK\x03\x04",
    "smallest": encode(picture(0, size=(8, 8))),
    "longest": encode(picture(0, size=(160, 8))),
}


@pytest.mark.parametrize("body", [raw, form, as_json])
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_image_is_refused_in_every_form(live: Live, name: str, body: Callable[[bytes], Body]) -> None:
    data, status = REFUSED[name]
    refused(predict(live, "cats", body(data)), status)


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_unusual_image_is_answered(live: Live, name: str) -> None:
    answer(predict(live, "cats", raw(ACCEPTED[name])))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_damaged_image_is_answered_or_refused(live: Live, kind: str) -> None:
    good = encode(picture(3), kind)

    @quick
    @given(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=8), st.booleans()
    )
    def attack(changes: list[tuple[int, int]], cut: bool) -> None:
        data = bytearray(good)
        for place, value in changes:
            data[place] = value
        response = predict(live, "cats", raw(bytes(data[: changes[0][0]] if cut else data) or b"x"))
        if response.status_code != 200:
            refused(response, 413, 415, 422)

    attack()
