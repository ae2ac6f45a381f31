"""From encoded bytes to an upright RGB image, or one clear error.

Shared by training and serving, so that both see the same pixels. Formats are judged by the bytes alone, sizes by the
header before anything is decoded, and only the first frame is ever read.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from backbone.errors import BadImage, ImageError, ImageTooLarge, UnsupportedFormat, UnsupportedMode

FORMATS = ("JPEG", "PNG", "WEBP")
DRAFT = 4  # times what is needed: a JPEG is decoded at a fraction of its size, but never under that
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may cost before it is decoded.

    Attributes:
        max_bytes: size of the encoded image, in bytes.
        max_pixels: width x height, in pixels.
        max_side: longer side, in pixels.
        min_side: shorter side, in pixels.
        max_aspect: longer side / shorter side.
    """

    max_bytes: int = 10 * 2**20
    max_pixels: int = 16_000_000
    max_side: int = 8192
    min_side: int = 8
    max_aspect: float = 20.0


def decode(data: bytes, limits: ImageLimits | None = None, *, enough: int | None = None) -> Image.Image:
    """Decode the first frame to RGB: upright by its EXIF orientation, transparency over white.

    Args:
        data: encoded.
        limits: what it may cost.
        enough: pixels that the shorter side will be reduced to anyway. A JPEG with several times as many is then
            decoded at a fraction of its size, and still with `DRAFT` times as many: cheaper, and not quite the same.

    Raises:
        UnsupportedFormat, UnsupportedMode, ImageTooLarge, BadImage: see backbone.errors.
    """
    limits = limits or ImageLimits()
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image has more than {limits.max_bytes} bytes")
    if not data.startswith(_MAGIC) or (data.startswith(b"RIFF") and data[8:12] != b"WEBP"):
        raise UnsupportedFormat(f"the bytes are not an image of a supported format ({', '.join(FORMATS)})")
    try:
        return _decode(data, limits, enough)
    except ImageError:
        raise
    # Pillow's own bounds, met before ours can look at the size; the warning is an exception where warnings are errors.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge("the image has far too many pixels") from error
    # Mutated files make Pillow raise OSError, SyntaxError, ValueError, struct.error and others: all mean the same.
    except Exception as error:
        raise BadImage("the image is truncated or corrupt") from error


def from_pixels(pixels: np.ndarray, limits: ImageLimits | None = None) -> Image.Image:
    """An image that came decoded: uint8 (h, w, 3), RGB.

    Raises:
        ImageTooLarge, BadImage: its size, as for `decode`.
    """
    height, width, _ = pixels.shape
    _check_size((width, height), limits or ImageLimits())
    return Image.fromarray(pixels)


def _decode(data: bytes, limits: ImageLimits, enough: int | None) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image.size, limits)
        if enough is not None and min(image.size) >= DRAFT * enough:
            image.draft(None, draft_size(image.size, enough))  # nothing happens unless it is a JPEG
        if image.mode.startswith(("I", "F")):
            raise UnsupportedMode("images with 16-bit or floating-point samples are not supported")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # upright already: not even copied
        return _to_rgb(image)


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    """Judge by the header alone."""
    short, long = sorted(size)
    if long > limits.max_side or short * long > limits.max_pixels:
        raise ImageTooLarge(f"the image has more than {limits.max_pixels} pixels or {limits.max_side} on a side")
    if short < limits.min_side or long > limits.max_aspect * short:
        raise BadImage(f"the image is under {limits.min_side} pixels on a side or longer than {limits.max_aspect}:1")


def draft_size(size: tuple[int, int], enough: int) -> tuple[int, int]:
    """The size below which a draft must not go, in the proportions of `size`."""
    short = min(size)
    width, height = (side * DRAFT * enough // short for side in size)
    return width, height


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB with transparency laid over white; the image itself where it is that already."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
