"""Colour profiles: wide colours are converted to sRGB."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from backbone import decode
from backbone.image_metadata import is_wide
from tests.backbone.image_files import DISPLAY_P3, encode, profile, scene

ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = profile(*DISPLAY_P3)


def colours(image: Image.Image, icc: bytes, form: str = "PNG", **options: object) -> np.ndarray:
    return np.asarray(decode(encode(image, form, icc_profile=icc, **options)))


@pytest.mark.parametrize(("wide", "found"), [((234, 51, 35), (255, 0, 0)), ((117, 251, 76), (0, 255, 0))])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_display_p3_becomes_srgb(form: str, wide: tuple[int, ...], found: tuple[int, ...]) -> None:
    options = {"quality": 100, **({"lossless": True} if form == "WEBP" else {})} if form != "PNG" else {}
    pixel = colours(Image.new("RGB", (16, 16), wide), P3, form, **options)[5, 5]
    assert np.abs(pixel.astype(int) - found).max() <= 4


@pytest.mark.parametrize("icc", [P3, profile(*ADOBE)])
def test_conversion_is_that_of_the_colour_library(icc: bytes) -> None:
    wanted = ImageCms.profileToProfile(scene(), io.BytesIO(icc), ImageCms.createProfile("sRGB"))
    assert np.array_equal(colours(scene(), icc), np.asarray(wanted))
    assert not np.array_equal(np.asarray(wanted), np.asarray(scene()))


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_white_stays_white_whatever_the_mode(mode: str) -> None:
    image = Image.new("RGBA", (16, 16), (9, 9, 9, 0)) if mode == "RGBA" else Image.new("RGB", (16, 16), "white")
    assert (colours(image.convert(mode), P3) == 255).all()


@pytest.mark.parametrize(
    "icc",
    [
        SRGB,
        b"",
        b"rubbish",
        P3[:140],
        P3[:300],
        P3[:16] + b"CMYK" + P3[20:],
        P3[:132] + b"A2B0" + P3[136:],
        P3[:128] + struct.pack(">I", 2**32 - 1) + P3[132:140],
    ],
)
def test_other_profiles_change_nothing(icc: bytes) -> None:
    assert np.array_equal(colours(scene(), icc), np.asarray(scene()))


def test_a_profile_that_the_library_refuses_changes_nothing() -> None:
    damaged = bytearray(P3)
    (count,) = struct.unpack_from(">I", P3, 128)
    for index in range(count):  # the curves are gone; the colorants are there
        name, at, _ = struct.unpack_from(">4sII", P3, 132 + 12 * index)
        if name.endswith(b"TRC"):
            damaged[at : at + 4] = b"none"
    assert is_wide(bytes(damaged))
    assert np.array_equal(colours(scene(), bytes(damaged)), np.asarray(scene()))


def test_gray_has_no_colours_to_convert() -> None:
    gray = Image.new("L", (16, 16), 100)
    assert (colours(gray, profile(*ADOBE)) == 100).all()


def test_colours_are_converted_at_a_fraction_if_that_is_enough() -> None:
    smooth = scene(8, 8).resize((400, 300), Image.Resampling.BICUBIC)
    data = encode(smooth, "PNG", icc_profile=P3)
    small, whole = decode(data, enough=20), decode(data)
    assert (small.size, whole.size) == ((58, 43), (400, 300))
    reduced = [np.asarray(image.resize((20, 20), Image.Resampling.BOX), np.int16) for image in (small, whole)]
    assert np.abs(reduced[0] - reduced[1]).mean() < 2


def test_pieces_of_a_profile_are_put_in_order() -> None:
    long = P3 + bytes(70_000)
    data = encode(scene(), "JPEG", icc_profile=long, quality=100)
    first, second = data.index(b"ICC_PROFILE\0\1") - 4, data.index(b"ICC_PROFILE\0\2") - 4
    (length,) = struct.unpack_from(">H", data, second + 2)
    end = second + 2 + length
    swapped = data[:first] + data[second:end] + data[first:second] + data[end:]
    assert np.array_equal(np.asarray(decode(swapped)), np.asarray(decode(data)))
    assert not np.array_equal(np.asarray(decode(data)), np.asarray(decode(encode(scene(), "JPEG", quality=100))))
