"""From a decoded image to the network's input."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from backbone import Preprocessing

IMAGENET = Preprocessing(
    size=(224, 224), crop_pct=0.9, interpolation="bicubic", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [(224, 224), (500, 375), (375, 500), (8, 160), (1, 1), (31, 9)])
def test_every_size_gives_the_networks_input(size: tuple[int, int]) -> None:
    pixels = IMAGENET.pixels(noise(*size))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8


def test_an_image_of_the_input_size_is_not_resampled() -> None:
    image = noise(64, 64)
    same = Preprocessing(size=(64, 64), crop_pct=1.0, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert np.array_equal(same.pixels(image), np.asarray(image))


def test_pixels_agree_with_resizing_and_cropping_in_two_steps() -> None:
    ramp = np.linspace(0, 255, 500, dtype=np.uint8)
    image = Image.fromarray(np.dstack([np.tile(ramp, (375, 1))] * 3))
    resized = image.resize((round(500 * 248.9 / 375), 249), Image.Resampling.BICUBIC)
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
    cropped = np.asarray(resized.crop((left, top, left + 224, top + 224)), np.int16)
    assert np.abs(cropped - IMAGENET.pixels(image).astype(np.int16)).max() <= 2


def test_normalize_scales_by_mean_and_std_of_the_unit_range() -> None:
    pixels = torch.full((2, 4, 4, 3), 255, dtype=torch.uint8)
    values = IMAGENET.normalize(pixels)
    assert values.shape == (2, 3, 4, 4)
    expected = (1 - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)
    torch.testing.assert_close(values[0, :, 0, 0], expected)


def test_the_hash_is_that_of_the_canonical_json() -> None:
    text = json.dumps(IMAGENET.as_dict(), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == IMAGENET.sha256


@pytest.mark.parametrize("bad", [{"interpolation": "lanczos"}, {"crop_pct": 0.0}, {"crop_pct": 1.5}, {"size": (0, 4)}])
def test_values_that_would_fail_later_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Preprocessing(**{**IMAGENET.as_dict(), **bad})  # type: ignore[arg-type]


def test_squashing_keeps_the_whole_image_and_says_so() -> None:
    squash = replace(IMAGENET, resize="squash")
    image = noise(300, 100)
    assert np.array_equal(squash.pixels(image), np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)))
    assert squash.as_dict() == {**IMAGENET.as_dict(), "resize": "squash"}
    assert "resize" not in IMAGENET.as_dict()
    assert squash.sha256 != IMAGENET.sha256
    with pytest.raises(ValueError, match="'crop', 'squash'"):
        replace(IMAGENET, resize="fit")  # type: ignore[arg-type]
