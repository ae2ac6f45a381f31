"""A stratified, seeded split of indices. Knows targets only, never images."""

import numpy as np
from numpy.typing import NDArray

from training.data.errors import TooFewImages


def carve(
    targets: NDArray[np.int64], *, fraction: float = 0.1, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold back `fraction` of every class.

    A class of two or more images gives at least one and keeps at least one; a class of one image keeps it.

    Args:
        targets: class of every image.  # (n,)
        fraction: share of each class to hold back, between 0 and 1.
        seed: the same seed and targets give the same split.

    Returns:
        Sorted indices that stay, and sorted indices held back.

    Raises:
        TooFewImages: no class has two images.
        ValueError: the fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    generator = np.random.RandomState(seed)  # its streams are frozen: the split outlives numpy versions
    held = [_draw(np.flatnonzero(targets == label), fraction, generator) for label in np.unique(targets)]
    back = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    if not len(back):
        raise TooFewImages("no class has two images: nothing can be held back for validation")
    return np.setdiff1d(np.arange(len(targets)), back), back


def _draw(rows: NDArray[np.int64], fraction: float, generator: np.random.RandomState) -> NDArray[np.int64]:
    """A share of one class."""
    shuffled = generator.permutation(rows)
    if len(rows) < 2:  # noqa: PLR2004 - one image is not a class to split
        return shuffled[:0]
    return shuffled[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]
