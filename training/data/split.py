"""A stratified, seeded split of indices. Knows targets only, never images."""

import numpy as np
from numpy.typing import NDArray

from training.data.errors import TooFewImages
from training.data.sets import strata_of


def carve(
    targets: NDArray[np.int64], *, fraction: float = 0.1, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold back `fraction` of every class.

    A class of two or more images gives at least one and keeps at least one; a class of one image keeps it. With groups
    the same holds for the groups of a class, and a group is never divided. Groups of different sizes make up the
    largest possible share, and at least one group is held back.

    Args:
        targets: class of every image (n,), or the labels that it has (n, K); then its rarest label is its class.
        fraction: share of each class to hold back, between 0 and 1.
        seed: the same seed and targets give the same split.
        groups: images of one group stay on one side; a group counts for the class of its first image.  # (n,)

    Returns:
        Sorted indices that stay, and sorted indices held back.

    Raises:
        TooFewImages: no class has two images, or two groups.
        ValueError: the fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    generator = np.random.RandomState(seed)  # its streams are frozen: the split outlives numpy versions
    targets = strata_of(targets)
    if groups is None:
        held = [_draw(np.flatnonzero(targets == label), fraction, generator) for label in np.unique(targets)]
    else:
        held = _draw_groups(targets, groups, fraction, generator)
    back = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    if not len(back):
        unit = "images" if groups is None else "groups"
        raise TooFewImages(f"no class has two {unit}: nothing can be held back for validation")
    return np.setdiff1d(np.arange(len(targets)), back), back


def _draw(rows: NDArray[np.int64], fraction: float, generator: np.random.RandomState) -> NDArray[np.int64]:
    """A share of one class."""
    shuffled = generator.permutation(rows)
    if len(rows) < 2:  # noqa: PLR2004 - one image is not a class to split
        return shuffled[:0]
    return shuffled[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]


def _draw_groups(
    targets: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, generator: np.random.RandomState
) -> list[NDArray[np.int64]]:
    """The rows of the groups that are held back."""
    names, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(targets[first]):
        own = generator.permutation(np.flatnonzero(targets[first] == label))  # places in `names`
        room = fraction * sizes[own].sum() - sizes[own].cumsum() + 0.5
        count = min(max(int((room >= 0).sum()), 1), len(own) - 1)
        held += [np.flatnonzero(groups == names[place]) for place in own[:count]]
    return held
