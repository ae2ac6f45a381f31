"""From the images of rows to the tensor that enters the backbone: checked, counted once each, normalised.

An image is uint8 (H, W, 3) as preprocessing gives it, or float32 (3, H, W) that a client has normalised itself.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backbone import Preprocessing

_STRIDE = 61  # bytes between the samples of an image that tell it from most others


def number(images: Sequence[np.ndarray]) -> list[int]:
    """For each image the index of the first one with the same content.

    By content, not by a promise: a hash over a sample finds candidates, and only equal arrays are the same image.
    """
    seen: dict[tuple[np.dtype, bytes], list[int]] = {}
    numbers = []
    for index, image in enumerate(images):
        alike = seen.setdefault((image.dtype, image.reshape(-1)[::_STRIDE].tobytes()), [])
        first = next((other for other in alike if _same(images[other], image)), index)
        if first == index:
            alike.append(index)
        numbers.append(first)
    return numbers


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or np.array_equal(one, other)


def stage(preprocessing: Preprocessing, images: Sequence[np.ndarray]) -> Tensor:
    """Normalise what is not normalised yet -> float32 (B, 3, H, W).

    Raises:
        ValueError: no image, or one of another shape or dtype than the backbone reads, or not finite.
    """
    raw = [index for index, image in enumerate(images) if image.dtype == np.uint8]
    for image in images:
        _check(preprocessing, image)
    if len(raw) == len(images):
        return _normalized(preprocessing, images)
    staged = torch.from_numpy(np.stack([_placeholder(image) for image in images]))
    if raw:
        staged[raw] = _normalized(preprocessing, [images[index] for index in raw])
    return staged


def _normalized(preprocessing: Preprocessing, images: Sequence[np.ndarray]) -> Tensor:
    return preprocessing.normalize(torch.from_numpy(np.stack(images)))


def _placeholder(image: np.ndarray) -> np.ndarray:
    """A normalised image as it is; the room of one that has still to be."""
    return image if image.dtype == np.float32 else np.empty((3, *image.shape[:2]), np.float32)


def _check(preprocessing: Preprocessing, image: np.ndarray) -> None:
    raw, ready = (*preprocessing.size, 3), (3, *preprocessing.size)
    expected = {np.dtype(np.uint8): raw, np.dtype(np.float32): ready}.get(image.dtype)
    if image.shape != expected:
        raise ValueError(f"pixels must be uint8 {raw} or float32 {ready}, not {image.dtype} {image.shape}")
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise ValueError("pixels must be finite")
