"""Images are decoded off the event loop, behind a line that has an end."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from backbone import ImageError, ImageLimits
from backbone.errors import BadImage, UnsupportedFormat
from service.decoding import Decoder
from service.errors import DecodeBacklog
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
