"""From encoded bytes to an upright RGB image, or one clear error.

Shared by training and serving, so that both see the same pixels. Formats are judged by the bytes alone, sizes and cost
by the header before anything is decoded. Only the first frame is ever read, and metadata never decides whether it is.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from PIL import Image, features

from backbone.errors import (
    BadImage,
    ImageError,
    ImageTooCostly,
    ImageTooLarge,
    UnsupportedFormat,
)
from backbone.image_bytes import MOST_PIECES, Encoded, Format, format_of, read
from backbone.image_metadata import is_wide, to_srgb, turn

FORMATS: tuple[Format, ...] = ("JPEG", "PNG", "WEBP")
EXTRA_FORMATS: tuple[Format, ...] = ("AVIF", "HEIF")  # where their decoders are installed and asked for
DRAFT = 4  # times what is needed: a JPEG is decoded at a fraction of its size, but never under that
_CONVERTED = 2  # times what is needed: colours are converted at a fraction of the size, but never under that
_SCANNED_PIXELS = 10**9  # pixels x scans of one JPEG: 16 scans of 50 megapixels, and 100 of 10
_ROWS = 512  # flattened at once
TINY_BYTES, TINY_PIXELS, _TINY_PIECES = 16 * 1024, 128 * 128, 64  # at most, of a tiny image
_PACKED = (b"iCCP", b"zTXt", b"iTXt")  # chunks of a PNG that are inflated when they are read
_PADDING = bytes(range(1, 255)) * 32  # what a scan without an end would read as pixels
_DECODER_BYTES = 8  # for each pixel: coefficients of three components, and a sample of each
_EOI = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of an image, checked before it is decoded.

    Attributes:
        max_bytes: size of the encoded image, in bytes.
        max_pixels: width x height, in pixels.
        max_side: longer side, in pixels.
        min_side: shorter side, in pixels.
        max_aspect: longer side / shorter side.
        max_work: cost of all images of one request together, in pixels of a PNG; see `work`.
        formats: that are accepted.
    """

    max_bytes: int = 10 * 2**20
    max_pixels: int = 50_000_000
    max_side: int = 8192
    min_side: int = 8
    max_aspect: float = 20.0
    max_work: int = 200_000_000
    formats: tuple[Format, ...] = FORMATS


def missing_decoders(formats: tuple[Format, ...]) -> list[Format]:
    """Those of these formats that nothing installed here can decode."""
    return [form for form in formats if form not in FORMATS and not _can_decode(form)]


def decode(data: bytes, limits: ImageLimits | None = None, *, enough: int | None = None) -> Image.Image:
    """Decode the first frame to RGB: upright, transparency over white, colours as sRGB.

    Args:
        data: encoded.
        limits: what it may cost.
        enough: pixels that the shorter side will be reduced to anyway. A JPEG with several times as many is then
            decoded at a fraction of its size, and still with `DRAFT` times as many: cheaper, and not quite the same.
            Colours other than those of sRGB are then converted at a fraction of the size, too.

    Raises:
        UnsupportedFormat, UnsupportedMode, ImageTooLarge, ImageTooCostly, BadImage: see backbone.errors.
        MemoryError: there is not enough memory for its pixels.
    """
    limits = limits or ImageLimits()
    return render(inspect(data, limits), limits, enough=enough)


def inspect(data: bytes, limits: ImageLimits | None = None, *, pieces: int = MOST_PIECES) -> Encoded:
    """Judge an image by its bytes and its header; decodes nothing.

    Args:
        data: encoded.
        limits: of the image.
        pieces: the most pieces of its container.

    Raises:
        UnsupportedFormat, UnsupportedMode, ImageTooLarge, ImageTooCostly, BadImage: see backbone.errors.
    """
    limits = limits or ImageLimits()
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image has more than {limits.max_bytes} bytes")
    refusal = UnsupportedFormat(f"the bytes are not an image of a supported format ({', '.join(limits.formats)})")
    try:
        encoded = read(data, most=pieces)
    except UnsupportedFormat:
        raise refusal from None
    if encoded.format not in limits.formats or not _can_decode(encoded.format):
        raise refusal
    if encoded.format in EXTRA_FORMATS:
        with _decoding(0), _open(encoded) as image:
            encoded = replace(encoded, size=image.size, exif=image.info.get("exif") or b"")
    _check_size(encoded.size, limits)
    if encoded.scans * encoded.size[0] * encoded.size[1] > _SCANNED_PIXELS:
        raise ImageTooCostly("the image has too many scans for its size")
    return encoded


def inspect_tiny(data: bytes, limits: ImageLimits | None = None) -> Encoded | None:
    """As `inspect`, for an image that is judged and decoded in less than a millisecond, whatever its bytes are.

    None: it may take longer, as it has more bytes or pixels, many pieces, metadata, or another format.

    Raises:
        UnsupportedFormat, UnsupportedMode, ImageTooLarge, BadImage: as `inspect`.
    """
    if len(data) > TINY_BYTES or format_of(data) not in ("JPEG", "PNG") or any(kind in data for kind in _PACKED):
        return None
    try:
        encoded = inspect(data, limits, pieces=_TINY_PIECES)
    except ImageTooCostly:
        return None
    simple = encoded.whole and not (encoded.stored or encoded.exif or encoded.xmp or encoded.icc)
    return encoded if simple and encoded.size[0] * encoded.size[1] <= TINY_PIXELS else None


def work(encoded: Encoded) -> int:
    """The cost of decoding, in pixels of a PNG: a rough upper estimate by format, size, scans and bytes."""
    width, height = encoded.size
    if encoded.format == "PNG":
        return width * height
    if encoded.format != "JPEG":
        return 2 * width * height
    once = width * height * (8 + 4 * encoded.stored + encoded.scans) // 32 + 2 * len(encoded.data)
    return once if encoded.whole else 2 * once  # without its end it is decoded twice


def render(encoded: Encoded, limits: ImageLimits | None = None, *, enough: int | None = None) -> Image.Image:
    """Decode what `inspect` let through, as `decode` does.

    Raises:
        UnsupportedMode, ImageTooLarge, BadImage, MemoryError: as `decode`.
    """
    with _decoding(encoded.size[0] * encoded.size[1]):
        image = _pixels(encoded, limits or ImageLimits(), enough)
    return image


def from_pixels(pixels: np.ndarray, limits: ImageLimits | None = None) -> Image.Image:
    """An image that came decoded: uint8 (h, w, 3), RGB.

    Raises:
        ImageTooLarge, BadImage: its size, as for `decode`.
    """
    height, width, _ = pixels.shape
    _check_size((width, height), limits or ImageLimits())
    return Image.fromarray(pixels)


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


@contextmanager
def _decoding(pixels: int) -> Iterator[None]:
    """A context that turns errors of decoders into ours.

    Args:
        pixels: that are decoded; decoders report a lack of memory for them as if the bytes were wrong.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    # Pillow's own bounds, met before ours can look at the size; the warning is an exception where warnings are errors.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge("the image has far too many pixels") from error
    # Mutated files make Pillow raise OSError, SyntaxError, ValueError, struct.error and others: all mean the same.
    except Exception as error:
        np.empty(pixels * _DECODER_BYTES, np.uint8)  # raises MemoryError where the decoder could not have it either
        raise BadImage("the image is truncated or corrupt") from error


def _pixels(encoded: Encoded, limits: ImageLimits, enough: int | None) -> Image.Image:
    image = _loaded(encoded, limits, enough)
    profile = encoded.icc or image.info.get("icc_profile") or b""
    has_colours = image.mode in ("RGB", "RGBA", "P")
    if image.mode == "I;16":
        image = _high_bytes(image)
    method = turn(encoded.exif, encoded.xmp)
    upright = _to_rgb(image if method is None else _turned(image, method))
    if has_colours and is_wide(profile):
        upright = _reduced(upright, enough)
        to_srgb(upright, profile)
    return upright


def _loaded(encoded: Encoded, limits: ImageLimits, enough: int | None) -> Image.Image:
    """The pixels as they are stored.

    A JPEG without its end is taken if all its rows are there. They are if bytes after them make no difference.
    """
    if encoded.format != "JPEG" or encoded.whole:
        return _load(encoded, limits, enough)
    ended, padded = (
        _load(replace(encoded, data=encoded.data + tail), limits, enough) for tail in (_EOI, _PADDING + _EOI)
    )
    if ended.tobytes() != padded.tobytes():
        raise BadImage("the image is truncated or corrupt")
    return ended


def _load(encoded: Encoded, limits: ImageLimits, enough: int | None) -> Image.Image:
    with _open(encoded) as image:
        _check_size(image.size, limits)  # the decoder's own word on what was judged before
        if enough is not None and min(image.size) >= DRAFT * enough:
            image.draft(None, draft_size(image.size, enough))  # nothing happens unless it is a JPEG
        image.load()
        return image


def _open(encoded: Encoded) -> Image.Image:
    return Image.open(io.BytesIO(encoded.data), formats=(encoded.format,))


@cache
def _can_decode(form: Format) -> bool:
    """Whether a decoder is there; makes Pillow know that of HEIC, which is a package of its own."""
    if form == "AVIF":
        return bool(features.check("avif"))
    if form == "HEIF":
        if find_spec("pillow_heif") is None:
            return False
        import_module("pillow_heif").register_heif_opener()
    return True


def _turned(image: Image.Image, method: Image.Transpose) -> Image.Image:
    """Transposed; what it says about transparency is kept."""
    turned = image.transpose(method)
    turned.info = image.info
    return turned


def _reduced(image: Image.Image, enough: int | None) -> Image.Image:
    """Smaller by a whole number, and still with `_CONVERTED` times what is needed: colours cost more than a decoder."""
    factor = min(image.size) // (_CONVERTED * enough) if enough else 1
    return image.reduce(factor) if factor > 1 else image.copy()


def _high_bytes(image: Image.Image) -> Image.Image:
    """16-bit gray as 8-bit: the high byte, which is what Pillow makes of 16-bit colours; what is clear is white."""
    samples = np.asarray(image)
    gray = (samples >> 8).astype(np.uint8)
    if (clear := image.info.get("transparency")) is not None:
        gray[samples == clear] = 255
    return Image.fromarray(gray)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB with transparency laid over white; the image itself where it is that already."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    flat = Image.new("RGB", image.size)
    for top in range(0, image.height, _ROWS):  # a few rows at a time: three more copies of all would be large
        layer = image.crop((0, top, image.width, min(top + _ROWS, image.height))).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        flat.paste(Image.alpha_composite(white, layer).convert("RGB"), (0, top))
    return flat
