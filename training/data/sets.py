"""A data set as the rest of training sees it: labels, targets, and images by index.

Knows no source and no file format; each source in this package gives its own `ImageSet`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backbone.errors import ImageError
from backbone.images import ImageLimits, decode
from training.data.errors import UnknownLabel, UnknownSource, UnreadableImage

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Names of the folders and files of each split, in any case."""


class ImageSet(Protocol):
    """One split: images that are decoded when asked for, never before."""

    @property
    def name(self) -> str:
        """The source of the images, for messages and provenance."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; a target is an index into them."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """Class of every image (n,); of images with any number of labels 1 for each that it has (n, K), else 0."""

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image.Image:
        """Image `i`, upright and RGB.

        Raises:
            UnreadableImage: it does not decode.
        """

    def where(self, i: int) -> str:
        """The file or row that image `i` comes from."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data set with the splits its authors made; one that they did not make is None.

    Attributes:
        name: the specification it was loaded by, without the folder of a published set.
        labels: class names, the same for both splits.
        train: images to learn from.
        test: images held back for the final figures.
        fixed_labels: the classes are those of a published protocol, and one may have no image to train on.
        validation: images to choose by; where it is None, some are taken out of `train`.
        groups: (n,) group of every image of `train`; a split keeps the images of a group together.
    """

    name: str
    labels: tuple[str, ...]
    train: ImageSet
    test: ImageSet | None
    fixed_labels: bool = False
    validation: ImageSet | None = None
    groups: NDArray[np.int64] | None = None


def strata_of(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The strata of a split (n,): the class; for images with several labels, the rarest of them.

    Images without a label are a stratum of their own.
    """
    if targets.ndim == 1:
        return targets
    counts = targets.sum(0)
    rarity = np.where(targets > 0, counts, len(targets) + 1)  # (n, K)
    strata: NDArray[np.int64] = np.where(targets.any(1), rarity.argmin(1), targets.shape[1])
    return strata


def split_of(name: str) -> str | None:
    """The split that a folder or file of this name holds, None for every other name."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def splits_among(names: Iterable[str], where: str) -> dict[str, str]:
    """The name of each split among `names`.

    Raises:
        UnknownSource: two names are the same split.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        split = split_of(name)
        if split in found:
            raise UnknownSource(f"{where}: {found[split]} and {name} are both the {split} split; keep one")
        if split is not None:
            found[split] = name
    return found


def check_range(targets: NDArray[np.int64], classes: int, name: str, unit: str, first: int = 0) -> None:
    """Every target must be a class; `unit` names the thing counted from `first`, such as a row or a line.

    Raises:
        UnknownLabel: one is not; the message says which.
    """
    wrong = np.flatnonzero((targets < 0) | (targets >= classes))
    if len(wrong):
        place = int(wrong[0])
        raise UnknownLabel(
            f"{name}: {unit} {place + first} has label {targets[place]}, but there are {classes} class names"
        )


def decode_from(data: bytes, where: str, limits: ImageLimits | None = None) -> Image.Image:
    """Decode as the server does, within `limits` or the server's own, with an error that names the file or row."""
    try:
        return decode(data, limits)
    except ImageError as error:
        raise UnreadableImage(f"{where}: {error}") from error
