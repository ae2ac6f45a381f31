"""From a caller's values to the bytes that are sent."""

import io
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

import backbone
from service.client import Client, InvalidArgument
from service.client.inputs import Images, encoded, read_file
from tests.backbone.image_files import DISPLAY_P3, exif_segment, profile, with_orientation, with_segments
from tests.service.client import scripted
from tests.service.client.scripted import Server, Time
from tests.service.live import encode, picture

PIXELS = picture(3)
PNG = encode(PIXELS)
ODD = struct.pack("<HHII", 0xA20E, 5, 1, 0x7FFFFFFF)  # an entry of EXIF that points out of the file


def decode(data: bytes) -> np.ndarray:
    """Pixels as the server sees them."""
    return np.asarray(backbone.decode(data))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "image.png"
    file.write_bytes(PNG)
    return file


def test_an_image_is_bytes_or_a_path(path: Path) -> None:
    assert encoded(PNG) == encoded(path) == encoded(str(path)) == (PNG,)
    assert encoded([PNG, path, str(path)]) == (PNG, PNG, PNG)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_an_image_of_pillow_loses_nothing(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    (data,) = encoded(image)
    assert Image.open(io.BytesIO(data)).convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "PA", "La", "RGBa", "I;16"])
def test_an_image_of_pillow_in_a_mode_that_png_lacks_is_converted(mode: str) -> None:
    image = Image.new(mode, (20, 10)) if mode != "CMYK" else Image.fromarray(PIXELS).convert("CMYK")
    assert decode(encoded(image)[0]).shape[1::-1] == image.size
    if mode == "CMYK":
        jpeg = saved(image, "JPEG", quality=100)
        assert np.array_equal(decode(encoded(Image.open(io.BytesIO(jpeg)))[0]), decode(jpeg))


@pytest.mark.parametrize("mode", ["F", "HSV", "LAB"])
def test_a_mode_that_means_something_else_is_refused(mode: str) -> None:
    with pytest.raises(InvalidArgument, match="convert it to RGB"):
        encoded(Image.new(mode, (20, 10)))


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("entries", [(), (ODD,)])
def test_a_photo_opened_with_pillow_stays_upright(orientation: int, form: str, entries: tuple[bytes, ...]) -> None:
    exif = b"Exif\0\0" + with_orientation(orientation, *entries)
    options = {"lossless": True} if form == "WEBP" else {}
    data = saved(Image.fromarray(PIXELS), form, exif=exif, **options)
    by_image, by_bytes = (decode(file) for file in encoded([Image.open(io.BytesIO(data)), data]))
    assert np.array_equal(by_image, by_bytes)


def test_garbage_for_exif_is_no_matter() -> None:
    data = with_segments(saved(Image.fromarray(PIXELS), "JPEG"), exif_segment(b"rubbish"))
    assert np.array_equal(decode(encoded(Image.open(io.BytesIO(data)))[0]), decode(data))


def test_what_other_metadata_says_of_the_orientation_goes_with_a_pillow_image() -> None:
    data = saved(Image.fromarray(PIXELS), "JPEG", quality=95, xmp=b'<x tiff:Orientation="6"/>')
    assert np.array_equal(decode(encoded(Image.open(io.BytesIO(data)))[0]), decode(data))


class Unreadable(Image.Image):
    """An image whose metadata cannot be read."""

    def getexif(self) -> Image.Exif:
        raise SyntaxError("not a TIFF file")


def test_metadata_that_pillow_cannot_read_says_nothing() -> None:
    image = Unreadable()
    image.im, image._mode, image._size = Image.fromarray(PIXELS).im, "RGB", (PIXELS.shape[1], PIXELS.shape[0])
    assert np.array_equal(decode(encoded(image)[0]), PIXELS)


def test_the_profile_of_a_pillow_image_goes_with_it() -> None:
    data = saved(Image.fromarray(PIXELS), "PNG", icc_profile=profile(*DISPLAY_P3))
    assert np.array_equal(decode(encoded(Image.open(io.BytesIO(data)))[0]), decode(data))


def test_a_damaged_image_of_pillow_is_refused() -> None:
    whole = saved(Image.fromarray(PIXELS), "JPEG")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        encoded(Image.open(io.BytesIO(whole[: len(whole) // 2])))


def test_an_image_is_whatever_gives_bytes(path: Path) -> None:
    with path.open("rb") as file:
        assert encoded(file) == (PNG,)
    images: list[Images] = [io.BytesIO(PNG), bytearray(PNG), memoryview(PNG)]
    assert [encoded(image) for image in images] == [(PNG,)] * 3
    assert encoded([io.BytesIO(PNG), bytearray(PNG), memoryview(PNG)]) == (PNG,) * 3
    assert read_file(io.BytesIO(PNG)) == read_file(bytearray(PNG)) == PNG


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3,), (4,)])
@pytest.mark.parametrize("turned", [False, True])
def test_an_array_is_its_pixels(shape: tuple[int, ...], turned: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 30, *shape), dtype=np.uint8)
    if turned:
        array = array[::-1].swapaxes(0, 1)  # no longer laid out row after row
    opened = Image.open(io.BytesIO(encoded(array)[0]))
    assert np.array_equal(np.asarray(opened), array[..., 0] if shape == (1,) else array)
    assert len(encoded([array, array])) == 2


@pytest.mark.parametrize("images", [[], (), b"", [PNG, b""], io.BytesIO(), bytearray()])
def test_no_image_is_refused(images: Images) -> None:
    with pytest.raises(InvalidArgument, match="at least one"):
        encoded(images)


@pytest.mark.parametrize(
    "images",
    [
        None,
        7,
        1.5,
        object(),
        {"image": PNG},
        {PNG},
        (PNG for _ in range(2)),
        [PNG, None],
        [[PNG]],
        io.StringIO("text"),
        "no\0path",
        np.zeros((4, 20, 30, 3), np.uint8),
        np.zeros((20, 30, 5), np.uint8),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((0, 30, 3), np.uint8),
        np.zeros(9, np.uint8),
        Image,
    ],
)
def test_what_is_no_image_is_refused_in_our_words(images: Images) -> None:
    with pytest.raises(InvalidArgument, match="images: "):
        encoded(images)


def test_a_closed_file_is_refused_in_our_words() -> None:
    file = io.BytesIO(PNG)
    file.close()
    for read in (encoded, read_file):
        with pytest.raises(InvalidArgument):
            read(file)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="nowhere"):
        encoded("/nowhere.png")


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.task(".."),
        lambda client: client.task("a/b"),
        lambda client: client.task(""),
        lambda client: client.task("pets\n"),
        lambda client: client.task("Pets"),
        lambda client: client.delete_task("../../v2"),
        lambda client: client.version("pets", 0),
        lambda client: client.delete_alias("pets", ".."),
        lambda client: client.rollback("pets", alias="3"),
        lambda client: client.set_alias("pets", "live", {}),
        lambda client: client.upload("pets", b"file", sha256=sha256(b"other").hexdigest()),
        lambda client: client.upload("pets", b"file", sha256="abc"),
        lambda client: client.predict("pets", PNG, at="3"),
        lambda client: client.predict_many([], PNG),
        lambda client: client.predict_many("pets", PNG),
        lambda client: client.predict_many(["pets", "?"], PNG),
        lambda client: client.within(0.0),
    ],
)
def test_what_the_api_cannot_take_is_not_sent(act: Callable[[Client], object]) -> None:
    server = Server(httpx.Response(200))
    with scripted.client("sync", server, Time()) as client, pytest.raises(InvalidArgument):
        act(client)
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["nonsense", "", "ftp://127.0.0.1", "http://", "http://[", "http://me:secret@host", "http://host?key=secret"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two\nlines", "ключ", " blank "])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidArgument, match="visible ASCII") as caught:
        Client("http://127.0.0.1", key=key)
    assert not key or key not in str(caught.value)


def test_a_key_and_a_prefix_of_the_address_are_used() -> None:
    server = Server(httpx.Response(404))
    with Client("https://host/mimi/", key="key-0123456789", transport=httpx.MockTransport(server)) as client:
        assert not client.ready()
    (request,) = server.requests
    assert str(request.url) == "https://host/mimi/health/ready"
    assert request.headers["authorization"] == "Bearer key-0123456789"


def test_a_checksum_and_a_precondition_go_with_an_upload() -> None:
    server = Server(httpx.Response(404))
    with scripted.client("sync", server, Time()) as client:
        for generation in (None, 0, 17):
            with pytest.raises(Exception, match="404"):
                client.upload("pets", b"", sha256=sha256(b"").hexdigest(), generation=generation)
    digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    assert all(request.headers["repr-digest"] == digest for request in server.requests)
    conditions = [(r.headers.get("if-match"), r.headers.get("if-none-match")) for r in server.requests]
    assert conditions == [(None, None), (None, "*"), ('"17"', None)]
