"""From encoded bytes to an upright RGB image, or one clear error."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from backbone import ImageError, ImageLimits, decode, from_pixels
from backbone.errors import BadImage, ImageTooLarge, UnsupportedFormat
from tests.backbone.image_files import encode, png_header, scene


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_decode_to_rgb(form: str) -> None:
    image = decode(encode(scene(), form))
    assert (image.mode, image.size) == ("RGB", (48, 32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_image_is_upright_whatever_its_exif_orientation(orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Transpose that a camera applied, by EXIF value
    stored = scene().transpose(Image.Transpose(undo[orientation])) if orientation > 1 else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(np.asarray(decode(encode(stored, "PNG", exif=exif))), np.asarray(scene()))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_lies_over_white(mode: str) -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0)).convert(mode)
    assert decode(encode(clear.convert("RGBA"), "PNG")).getpixel((3, 3)) == (255, 255, 255)


def test_a_transparent_palette_colour_lies_over_white() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    assert decode(encode(image, "PNG", transparency=1)).getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert decode(encode(scene().convert(mode), form)).mode == "RGB"


def test_sixteen_bit_gray_is_its_high_byte_as_sixteen_bit_colours_are() -> None:
    gray = np.asarray(scene().convert("L"))
    samples = gray.astype(np.uint16) << 8 | gray[::-1]
    image = decode(encode(Image.fromarray(samples), "PNG"))
    assert np.array_equal(np.asarray(image), np.dstack([gray] * 3))


def test_what_is_clear_in_sixteen_bit_gray_is_white() -> None:
    samples = np.full((16, 16), 0x1234, np.uint16)
    samples[0, 0] = 0x1235  # of the same high byte, and not clear
    image = decode(encode(Image.fromarray(samples), "PNG", transparency=0x1234))
    assert (image.getpixel((0, 0)), image.getpixel((1, 1))) == ((0x12, 0x12, 0x12), (255, 255, 255))


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "BMP", "EPS", "ICO", "PPM"])
def test_other_formats_are_refused_by_their_bytes(form: str) -> None:
    with pytest.raises(UnsupportedFormat):
        decode(encode(scene(), form))


@pytest.mark.parametrize("data", [b"", b"hello", b"RIFF\x00\x00\x00\x00WAVE", b"%PDF-1.7", b"PK\x03\x04"])
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        decode(data)


@pytest.mark.parametrize("size", [(9000, 100), (8193, 8), (8000, 6251), (12_000, 12_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge):
        decode(png_header(*size))


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (1, 8000), (8, 161)])
def test_slivers_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage):
        decode(encode(Image.new("RGB", size), "PNG"))


@pytest.mark.parametrize("size", [(8, 8), (8, 160), (160, 8)])
def test_the_smallest_and_the_longest_images_are_accepted(size: tuple[int, int]) -> None:
    assert decode(encode(Image.new("RGB", size), "PNG")).size == size


def test_the_byte_limit_is_the_largest_size_accepted() -> None:
    data = encode(scene(), "PNG")
    assert decode(data, ImageLimits(max_bytes=len(data))).size == (48, 32)
    with pytest.raises(ImageTooLarge):
        decode(data, ImageLimits(max_bytes=len(data) - 1))


def test_the_pixel_limit_is_the_largest_area_accepted() -> None:
    data = encode(scene(), "PNG")
    assert decode(data, ImageLimits(max_pixels=48 * 32)).size == (48, 32)
    with pytest.raises(ImageTooLarge):
        decode(data, ImageLimits(max_pixels=48 * 32 - 1))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_image_is_refused(form: str) -> None:
    data = encode(scene(), form)
    with pytest.raises(BadImage):
        decode(data[: len(data) // 2])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), form=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_a_mutated_image_decodes_or_raises_an_image_error(data: st.DataObject, form: str) -> None:
    mutated = bytearray(encode(scene(), form))
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert decode(bytes(mutated)).mode == "RGB"


def test_decoded_pixels_are_an_image_within_the_same_limits() -> None:
    pixels = np.asarray(scene())
    assert np.array_equal(np.asarray(from_pixels(pixels)), pixels)
    for size, error in [((7, 32), BadImage), ((8, 161), BadImage), ((0, 8), BadImage), ((8, 8193), ImageTooLarge)]:
        with pytest.raises(error):
            from_pixels(np.zeros((*size, 3), np.uint8))
    with pytest.raises(ImageTooLarge):
        from_pixels(pixels, ImageLimits(max_pixels=48 * 32 - 1))


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(scene(8, 8).resize((width, height), Image.Resampling.BICUBIC), "JPEG", quality=90, exif=exif)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 700), st.integers(8, 700), st.integers(1, 60), st.sampled_from([1, 6]))
def test_a_draft_is_smaller_and_never_under_four_times_what_is_needed(
    width: int, height: int, enough: int, orientation: int
) -> None:
    if max(width, height) > 20 * min(width, height):
        return
    data = jpeg(width, height, orientation)
    image, whole = decode(data, enough=enough), decode(data)
    if min(width, height) < 8 * enough:
        assert np.array_equal(np.asarray(image), np.asarray(whole))
        return
    assert whole.width / 8 <= image.width < whole.width
    assert whole.height / 8 <= image.height < whole.height
    assert min(image.size) >= 4 * enough


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_only_jpegs_are_drafted(form: str) -> None:
    data = encode(scene(400, 300), form)
    assert np.array_equal(np.asarray(decode(data, enough=10)), np.asarray(decode(data)))


def test_a_draft_shows_the_same_once_it_is_reduced() -> None:
    data = jpeg(640, 427)
    draft, whole = decode(data, enough=32), decode(data)
    assert draft.size < whole.size
    small = [np.asarray(image.resize((48, 32), Image.Resampling.BICUBIC), np.int16) for image in (draft, whole)]
    assert np.abs(small[0] - small[1]).mean() < 1.5


def test_a_draft_is_no_way_around_the_limits() -> None:
    with pytest.raises(ImageTooLarge):
        decode(jpeg(600, 400), ImageLimits(max_pixels=200_000), enough=10)
