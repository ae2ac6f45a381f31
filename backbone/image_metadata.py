"""Reads orientation and colours from metadata. Damaged metadata is ignored.

The decoder does not read it: a decoder parses all metadata, and some of it costs far more than the pixels.
"""

import io
import re
import struct
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType

from PIL import Image, ImageCms

_ORIENTATION = 0x0112
_MOST_ENTRIES = 1_000  # of EXIF's first directory; a camera writes 20
_INTEGERS = MappingProxyType({3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"})  # EXIF's types of one whole number
_ENTRY = 12  # bytes
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

TURNS = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)

# Colorants of sRGB, adapted to D50: X, Y and Z of red, green and blue.
_SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
_SAME = 0.01  # profiles of sRGB itself differ by less, Display P3 and Adobe RGB by 0.07 and more
_MOST_TAGS = 100  # of a profile; those of cameras have 20


def turn(exif: bytes, xmp: bytes) -> Image.Transpose | None:
    """The transposition that makes the image upright; None if it is upright or its metadata is not readable."""
    value = _exif_orientation(exif)
    if value is None:
        found = _XMP.search(xmp)
        value = int(found[1]) if found else 1
    return TURNS.get(value)


def _exif_orientation(exif: bytes) -> int | None:
    """The value of EXIF's first directory; None if there is none, 0 if it is no whole number."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for place in range(at + 2, at + 2 + _ENTRY * min(count, _MOST_ENTRIES), _ENTRY):
            tag, kind, many = struct.unpack_from(order + "HHI", exif, place)
            if tag == _ORIENTATION:
                code = _INTEGERS.get(kind)
                return int(struct.unpack_from(order + code, exif, place + 8)[0]) if code and many == 1 else 0
    except struct.error:
        return None
    return None


def to_srgb(image: Image.Image, profile: bytes) -> None:
    """Convert an RGB image of a wide profile where it lies; one that cannot be used changes nothing."""
    with suppress(ImageCms.PyCMSError):
        ImageCms.applyTransform(image, _transform(profile), inPlace=True)


def is_wide(profile: bytes) -> bool:
    """Whether a profile of ICC says what red, green and blue are, and means other colours than sRGB."""
    if profile[16:20] != b"RGB " or profile[36:40] != b"acsp":
        return False
    try:
        found = _colorants(profile)
    except struct.error:
        return False
    pairs = [(a, b) for mine, theirs in zip(found, _SRGB, strict=False) for a, b in zip(mine, theirs, strict=True)]
    return len(found) == len(_SRGB) and any(abs(a - b) > _SAME for a, b in pairs)


def _colorants(profile: bytes) -> list[tuple[float, ...]]:
    """X, Y and Z of red, green and blue, as far as the profile has them."""
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for index in range(min(count, _MOST_TAGS)):
        name, at, _ = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            found[name] = tuple(value / 65536 for value in struct.unpack_from(">3i", profile, at + 8))
        elif name.startswith(b"A2B"):
            return []  # a table of colours, which would win over them
    return [found[name] for name in (b"rXYZ", b"gXYZ", b"bXYZ") if name in found]


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform:
    """From this profile to sRGB; the few that devices write come again and again."""
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
