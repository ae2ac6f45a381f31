"""Augmentation: every image by its own draw, the same draw again from the same generator."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.small import small_set
from training.augment import augment
from training.options import FitOptions

STILL = FitOptions(flip=False, shift=0)


def augmented(fit: FitOptions, seed: int = 0) -> Tensor:
    return augment(small_set(12, 3).pixels, fit, torch.Generator().manual_seed(seed))


def test_nothing_switched_on_changes_nothing() -> None:
    assert torch.equal(augmented(STILL), small_set(12, 3).pixels)


@pytest.mark.parametrize(
    "change",
    [
        {"flip": True},
        {"shift": 2},
        {"rotate": 20.0},
        {"zoom": 0.3},
        {"jitter": 0.5},
        {"resized_crop": 0.2},
        {"randaugment": "rand-m9"},
    ],
)
def test_each_augmentation_keeps_the_shape_and_repeats_from_its_seed(change: dict[str, object]) -> None:
    fit = replace(STILL, **change)  # type: ignore[arg-type]
    images = augmented(fit)
    assert (images.shape, images.dtype) == ((12, 16, 16, 3), torch.uint8)
    assert torch.equal(images, augmented(fit))
    assert not torch.equal(images, augmented(fit, seed=1))
    assert not torch.equal(images, small_set(12, 3).pixels)


def test_a_mirrored_image_is_mirrored_and_the_others_are_as_they_were() -> None:
    pixels = small_set(12, 3).pixels
    images = augmented(replace(STILL, flip=True))
    same = [bool((image == pixel).all()) for image, pixel in zip(images, pixels, strict=True)]
    mirrored = [bool((image == pixel.flip(1)).all()) for image, pixel in zip(images, pixels, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


def test_a_moved_image_is_a_window_of_the_image_with_its_edges_repeated() -> None:
    pixels = small_set(12, 3).pixels
    padded = torch.nn.functional.pad(pixels.permute(0, 3, 1, 2).float(), (2,) * 4, mode="replicate").permute(0, 2, 3, 1)
    for image, source in zip(augmented(replace(STILL, shift=2)), padded.to(torch.uint8), strict=True):
        windows = (source[y : y + 16, x : x + 16] for y in range(5) for x in range(5))
        assert any(torch.equal(image, window) for window in windows)


def test_relighting_keeps_a_flat_image_flat() -> None:
    flat = torch.full((4, 16, 16, 3), 100, dtype=torch.uint8)
    images = augment(flat, replace(STILL, jitter=0.5), torch.Generator().manual_seed(0))
    assert all(len(image.unique()) == 1 for image in images)
    assert images.min() >= 50
    assert images.max() <= 150


def test_turning_keeps_the_centre() -> None:
    spot = torch.zeros(4, 17, 17, 3, dtype=torch.uint8)
    spot[:, 7:10, 7:10] = 255
    images = augment(spot, replace(STILL, rotate=45.0), torch.Generator().manual_seed(0))
    assert (images[:, 8, 8] == 255).all()
