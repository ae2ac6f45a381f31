"""Images that lie decoded in one array. Knows nothing of the file that the array came from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.errors import UnreadableFile
from training.data.sets import check_range


@dataclass(frozen=True, slots=True, eq=False)
class ArraySet:
    """The images of one split."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,)
    pixels: NDArray[np.uint8]  # (n, H, W, 3), any order in memory

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, i: int) -> Image.Image:
        """Image `i`."""
        return Image.fromarray(np.ascontiguousarray(self.pixels[i]))

    def where(self, i: int) -> str:
        """Its place in the array."""
        return f"{self.name}: image {i}"


def array_set(name: str, labels: tuple[str, ...], targets: Sequence[int], pixels: NDArray[np.uint8]) -> ArraySet:
    """One split; `pixels` is (n, H, W, 3) and `targets` has n classes.

    Raises:
        UnreadableFile: there are more images than labels, or fewer.
        UnknownLabel: a target is no index into `labels`.
    """
    classes = np.asarray(targets, np.int64).reshape(-1)
    if len(classes) != len(pixels):
        raise UnreadableFile(f"{name}: {len(pixels)} images but {len(classes)} labels")
    check_range(classes, len(labels), name, "image")
    return ArraySet(name, labels, classes, pixels)
