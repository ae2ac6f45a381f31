"""Images are decoded off the event loop, behind a line that has an end."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from backbone import ImageError, ImageLimits
from backbone.errors import BadImage, ImageTooCostly, UnsupportedFormat
from backbone.images import _can_decode
from service.errors import DecodeBacklog, SettingsError, TooManyUnderWay
from service.inputs.decoding import Decoder, Picture, image_limits
from service.settings import Settings
from tests.backbone.image_files import encode as encode_image
from tests.backbone.image_files import with_scans
from tests.service.adapters import bundled_backbone
from tests.service.live import PATIENCE, encode, picture

pytestmark = pytest.mark.anyio


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(bundled_backbone().preprocessing, ImageLimits(), threads=1, backlog=3)
    yield decoder
    decoder.close()


class Gate:
    """A job that says when it runs and waits until it may end."""

    def __init__(self) -> None:
        self.running, self.open = threading.Event(), threading.Event()
        self.runs = 0

    def __call__(self) -> bool:
        self.runs += 1
        self.running.set()
        return self.open.wait(PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def test_pixels_are_those_of_the_preprocessing(decoder: Decoder) -> None:
    pictures = [picture(1), picture(2, size=(99, 30))]
    found = await decoder.pixels([encode(image) for image in pictures])
    wanted = bundled_backbone().preprocessing
    for image, pixels in zip(pictures, found, strict=True):
        assert np.array_equal(pixels, wanted.pixels(Image.fromarray(image)))


async def test_one_bad_image_fails_the_request_and_is_named(decoder: Decoder) -> None:
    good = encode(picture())
    with pytest.raises(UnsupportedFormat) as refused:
        await decoder.pixels([good, b"GIF89a", good])
    assert refused.value.__notes__ == ["this is image 2 of 3"]
    with pytest.raises(BadImage) as alone:
        await decoder.pixels([good[:100]])
    assert not hasattr(alone.value, "__notes__")


async def test_the_line_has_an_end_and_its_places_come_back(decoder: Decoder) -> None:
    gate, good = Gate(), encode(picture())
    busy = asyncio.ensure_future(decoder.offload(gate))
    waiting = asyncio.ensure_future(decoder.pixels([good, good]))
    await until(gate.running.is_set)
    with pytest.raises(DecodeBacklog):
        await decoder.pixels([good])
    gate.open.set()
    assert await busy
    assert len(await waiting) == 2
    assert len(await decoder.pixels([good] * 3)) == 3


async def test_a_request_that_is_given_up_leaves_the_line(decoder: Decoder) -> None:
    gate, never = Gate(), Gate()
    busy = asyncio.ensure_future(decoder.offload(gate))
    await until(gate.running.is_set)
    given_up = asyncio.ensure_future(decoder.offload(never))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    gate.open.set()
    await busy
    await decoder.pixels([encode(picture())] * 3)
    assert never.runs == 0


async def test_a_running_job_keeps_its_place_when_its_request_is_given_up(decoder: Decoder) -> None:
    gate = Gate()
    busy = asyncio.ensure_future(decoder.offload(gate))
    await until(gate.running.is_set)
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    with pytest.raises(DecodeBacklog):
        await decoder.pixels([b""] * 3)
    gate.open.set()
    with pytest.raises(ImageError):
        await decoder.pixels([b""])


async def test_decoded_images_are_prepared_and_normalised_ones_left_alone(decoder: Decoder) -> None:
    image, ready = picture(1), np.ones((3, 64, 64), np.float32)
    encoded, decoded, same = await decoder.pixels([encode(image), image, ready])
    assert np.array_equal(encoded, decoded)
    assert same is ready
    with pytest.raises(BadImage):
        await decoder.pixels([picture(1, size=(200, 8))])


# ---------------------------------------------------------------- at once


async def test_a_tiny_image_and_normalised_ones_do_not_wait_for_a_thread(decoder: Decoder) -> None:
    gate, tiny, ready = Gate(), encode(picture()), np.ones((3, 64, 64), np.float32)
    busy = asyncio.ensure_future(decoder.offload(gate))
    await until(gate.running.is_set)
    found = decoder.pixels_at_once([tiny])
    assert decoder.pixels_at_once([ready, ready]) == [ready, ready]
    gate.open.set()
    await busy
    assert found is not None
    assert np.array_equal(found, await decoder.pixels([tiny]))


async def test_all_other_images_wait_for_a_thread(decoder: Decoder) -> None:
    tiny, ready = encode(picture()), np.ones((3, 64, 64), np.float32)
    others: list[list[Picture]] = [[tiny, tiny], [tiny, ready], [picture()], [encode(picture(size=(200, 150)))]]
    for images in others:
        assert decoder.pixels_at_once(images) is None
    with pytest.raises(BadImage):
        decoder.pixels_at_once([tiny[:20]])


# ---------------------------------------------------------------- cost

POSTER = encode_image(Image.new("L", (5000, 4000)), "PNG")  # costs much
HALF = encode_image(Image.new("L", (3000, 3000)), "PNG")  # costs little, and two of them much


def judged(seconds: list[str]) -> Callable[[float], None]:
    """Notes the name of the thread that decodes each image."""
    return lambda _: seconds.append(threading.current_thread().name)


@pytest.mark.parametrize(
    ("images", "names"),
    [([HALF], ["mimi-decode_0"]), ([HALF, HALF], ["mimi-decode-costly_0"] * 2), ([POSTER], ["mimi-decode-costly_0"])],
)
async def test_what_a_request_costs_together_decides_who_decodes_it(images: list[bytes], names: list[str]) -> None:
    seen: list[str] = []
    decoder = Decoder(bundled_backbone().preprocessing, ImageLimits(), threads=1, backlog=3, on_decoded=judged(seen))
    try:
        assert len(await decoder.pixels(images)) == len(images)
    finally:
        decoder.close()
    assert seen == names


async def test_what_costs_little_does_not_wait_for_what_costs_costly(decoder: Decoder) -> None:
    gate = Gate()
    decoder._costly.enter(1)
    busy = asyncio.ensure_future(decoder._costly.run([gate]))
    costly = asyncio.ensure_future(decoder.pixels([POSTER]))
    await until(gate.running.is_set)
    assert len(await decoder.pixels([encode(picture())])) == 1
    assert not costly.done()
    gate.open.set()
    assert await busy == [True]
    assert len(await costly) == 1


async def test_the_line_for_what_costs_much_has_an_end_of_its_own(decoder: Decoder) -> None:
    gate = Gate()
    decoder._costly.enter(3)
    busy = asyncio.ensure_future(decoder._costly.run([gate, gate, gate]))
    with pytest.raises(DecodeBacklog):
        await decoder.pixels([POSTER])
    assert len(await decoder.pixels([HALF])) == 1
    gate.open.set()
    await busy
    assert len(await decoder.pixels([POSTER])) == 1


async def test_the_images_of_a_request_have_a_bound_together() -> None:
    limits = ImageLimits(max_work=2 * 3000 * 3000)
    decoder = Decoder(bundled_backbone().preprocessing, limits, threads=1, backlog=3)
    try:
        assert len(await decoder.pixels([HALF, HALF])) == 2
        with pytest.raises(ImageTooCostly, match="together"):
            await decoder.pixels([HALF, HALF, encode(picture())])
    finally:
        decoder.close()


async def test_an_image_of_thousands_of_scans_is_refused_and_named(decoder: Decoder) -> None:
    attack = with_scans(encode_image(Image.new("RGB", (4000, 4000)), "JPEG", progressive=True), 32_000)
    with pytest.raises(ImageTooCostly) as refused:
        await decoder.pixels([encode(picture()), attack])
    assert refused.value.__notes__ == ["this is image 2 of 2"]


async def test_costly_work_that_outlives_its_request_counts_for_its_client(decoder: Decoder) -> None:
    gate = Gate()
    decoder._costly.enter(1)
    given_up = asyncio.ensure_future(decoder._costly.run([gate], client="them"))
    await until(gate.running.is_set)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    with pytest.raises(TooManyUnderWay):
        await decoder.pixels([POSTER], client="them")
    assert len(await decoder.pixels([HALF], client="them")) == 1
    other = asyncio.ensure_future(decoder.pixels([POSTER], client="us"))
    gate.open.set()
    assert len(await other) == 1
    assert len(await decoder.pixels([POSTER], client="them")) == 1


async def test_a_request_that_was_answered_counts_for_nobody(decoder: Decoder) -> None:
    for _ in range(3):
        assert len(await decoder.pixels([POSTER], client="us")) == 1
    with pytest.raises(BadImage):
        await decoder.pixels([POSTER[: len(POSTER) // 2]], client="us")
    assert len(await decoder.pixels([POSTER], client="us")) == 1


async def test_a_thread_that_stays_at_one_job_is_stuck(decoder: Decoder) -> None:
    gate = Gate()
    assert (decoder.stuck, decoder.healthy) == (0, True)
    busy = asyncio.ensure_future(decoder.offload(gate))
    await until(gate.running.is_set)
    assert (decoder.stuck, decoder.healthy) == (0, True)
    decoder.stuck_after = 0.0
    assert (decoder.stuck, decoder.healthy) == (1, False)
    gate.open.set()
    await busy
    assert (decoder.stuck, decoder.healthy) == (0, True)


async def test_a_stuck_thread_for_what_costs_much_leaves_the_decoder_healthy(decoder: Decoder) -> None:
    gate = Gate()
    decoder._costly.enter(1)
    busy = asyncio.ensure_future(decoder._costly.run([gate]))
    await until(gate.running.is_set)
    decoder.stuck_after = 0.0
    assert (decoder.stuck, decoder.healthy) == (1, True)
    gate.open.set()
    await busy


async def test_threads_for_what_costs_much_stand_back(decoder: Decoder) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    decoder._costly.enter(1)
    (much,), little = await decoder._costly.run([niceness]), await decoder.offload(niceness)
    assert much > little


# ---------------------------------------------------------------- settings


def test_the_limits_are_settings() -> None:
    settings = Settings(image_bytes=9, image_pixels=8, request_pixels=7, image_formats=("png", "avif", "heif"))
    limits = image_limits(settings)
    assert (limits.max_bytes, limits.max_pixels, limits.max_work) == (9, 8, 7)
    assert limits.formats == ("PNG", "AVIF", "HEIF")
    assert image_limits(Settings()) == ImageLimits()


@pytest.mark.parametrize("formats", [("gif",), ("png", "eps"), ("PNG",), ()])
def test_other_formats_are_refused(formats: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="image_formats: one or more of jpeg, png, webp, avif, heif"):
        image_limits(Settings(image_formats=formats))


def test_a_format_without_a_decoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbone.images.find_spec", lambda name: None)
    _can_decode.cache_clear()
    try:
        with pytest.raises(SettingsError, match="nothing installed decodes heif"):
            image_limits(Settings(image_formats=("png", "heif")))
    finally:
        _can_decode.cache_clear()
