"""HEIC and AVIF are decoded where they are asked for, behind the same gate; a lack of memory is called that."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from backbone import ImageLimits, decode
from backbone.errors import BadImage, ImageTooLarge, UnsupportedFormat
from backbone.image_bytes import Format
from backbone.images import FORMATS, inspect, missing_decoders, work
from tests.backbone.image_files import DISPLAY_P3, encode, profile, scene, with_orientation

EXTRA: tuple[Format, ...] = ("AVIF", "HEIF")
ASKED = ImageLimits(formats=(*FORMATS, *EXTRA))


def made(form: str, image: Image.Image | None = None, **options: object) -> bytes:
    pillow_heif.register_heif_opener()
    return encode(image or scene(64, 48), form, quality=95, **options)


@pytest.mark.parametrize("form", EXTRA)
def test_it_is_decoded_where_it_is_asked_for(form: Format) -> None:
    assert missing_decoders((form,)) == []
    found = np.asarray(decode(made(form), ASKED), np.int16)
    assert np.abs(found - np.asarray(scene(64, 48), np.int16)).mean() < 25
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WEBP"):
        decode(made(form))


@pytest.mark.parametrize("form", EXTRA)
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_it_is_upright(form: str, orientation: int) -> None:
    image = decode(made(form, exif=b"Exif\0\0" + with_orientation(orientation)), ASKED)
    turned = scene(64, 48).rotate({1: 0, 3: 180, 6: -90}[orientation], expand=True)
    assert image.size == turned.size
    assert np.abs(np.asarray(image, np.int16) - np.asarray(turned, np.int16)).mean() < 25


@pytest.mark.parametrize("form", EXTRA)
def test_what_is_clear_is_white_and_wide_colours_are_converted(form: str) -> None:
    clear = decode(made(form, Image.new("RGBA", (64, 64), (9, 9, 9, 0))), ASKED)
    assert clear.getpixel((30, 30)) == (255, 255, 255)
    red = decode(made(form, Image.new("RGB", (64, 64), (234, 51, 35)), icc_profile=profile(*DISPLAY_P3)), ASKED)
    assert np.abs(np.asarray(red)[30, 30].astype(int) - (255, 0, 0)).max() <= 12


@pytest.mark.parametrize("form", EXTRA)
def test_the_gate_is_the_same(form: str) -> None:
    data = made(form)
    assert work(inspect(data, ASKED)) == 2 * 64 * 48
    with pytest.raises(ImageTooLarge):
        decode(data, replace(ASKED, max_pixels=64 * 48 - 1))
    with pytest.raises(BadImage):
        decode(made(form, scene(160, 7)), ASKED)
    for cut in (40, len(data) // 2):
        with pytest.raises(BadImage):
            decode(data[:cut], ASKED)


def test_the_bound_of_the_library_itself_is_one_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made("AVIF")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 3)
    with pytest.raises(ImageTooLarge):
        decode(data, ASKED)


def test_other_files_in_the_same_container_are_refused() -> None:
    for brand in (b"isom", b"qt  ", b"mp42"):
        with pytest.raises(UnsupportedFormat):
            decode(b"\0\0\0\x18ftyp" + brand + bytes(40), ASKED)


_SHORT = """
import resource, sys
from backbone import decode
data = open(sys.argv[1], "rb").read()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
decode(data)
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, -1))
try:
    decode(data)
except BaseException as error:
    print(type(error).__mro__)
"""


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("JPEG", {"progressive": True}), ("WEBP", {"method": 0})])
def test_a_lack_of_memory_is_not_called_a_corrupt_image(form: str, options: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(encode(Image.new("RGB", (7000, 7000)), form, **options))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(  # with freed memory given back: what the first image used would be enough for the second
        [sys.executable, "-c", _SHORT, str(file)], capture_output=True, text=True, check=False, timeout=120,
        env=environment,
    )  # fmt: skip
    assert "'MemoryError'" in done.stdout, done.stdout + done.stderr
