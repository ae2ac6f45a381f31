"""Decoded images as one uint8 array.

Every image is decoded, resized and cropped once; an epoch then decodes nothing. Arrays above
`memory_limit` lie in a file and are mapped, so that a large set needs no large memory.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backbone import Preprocessing
from training.data import ImageSet

_HASHED = 1024  # images a chunk, so that a mapped set is never in memory at once


@dataclass(frozen=True, slots=True)
class PixelSet:
    """Images and their classes, ready to be indexed.

    Attributes:
        pixels: uint8 (n, H, W, 3).
        targets: int64 (n,) classes, or (n, K) with 1 for each label that an image has.
    """

    pixels: Tensor
    targets: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)

    def to(self, device: torch.device) -> "PixelSet":
        """The same set on `device`: on CUDA the whole set lives there, so an epoch moves nothing."""
        return PixelSet(self.pixels.to(device), self.targets.to(device))

    def hashes(self) -> list[bytes]:
        """A hash of the pixels of every image: equal images have equal hashes."""
        return [hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).digest() for image in self.pixels]

    @property
    def digest(self) -> str:
        """SHA-256 of targets, shape and pixels: two sets with the same digest train the same."""
        found = hashlib.sha256(self.targets.cpu().numpy().tobytes())
        found.update(repr(tuple(self.pixels.shape)).encode())
        for chunk in self.pixels.split(_HASHED):
            found.update(chunk.cpu().numpy().tobytes())
        return found.hexdigest()


def decode_all(
    images: ImageSet,
    preprocessing: Preprocessing,
    indices: Sequence[int],
    *,
    memory_limit: int = 4 * 2**30,
    on_image: Callable[[], None] = lambda: None,
) -> PixelSet:
    """Decode `images[i] for i in indices`.

    Args:
        images: to decode.
        preprocessing: gives their size.
        indices: which of them, in this order.
        memory_limit: bytes above which the pixels lie in an unnamed file, mapped into memory.
        on_image: called after every image, from several threads.
    """
    shape = (len(indices), *preprocessing.size, 3)
    pixels: np.ndarray = np.empty(0)
    if int(np.prod(shape)) > memory_limit:
        with tempfile.TemporaryFile() as file:  # the mapping outlives the handle, and the file its name
            pixels = np.memmap(file, np.uint8, "w+", shape=shape)
    else:
        pixels = np.empty(shape, np.uint8)

    def fill(row: int) -> None:
        pixels[row] = preprocessing.pixels(images.image(indices[row]))
        on_image()

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(len(indices))))
    return PixelSet(torch.from_numpy(pixels), torch.from_numpy(images.targets[np.asarray(indices, np.int64)]))
