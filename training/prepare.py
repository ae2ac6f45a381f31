"""A data set made ready to train on: checked, split, decoded, with the image that becomes the golden sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from backbone import Preprocessing
from training.data import Data, ImageSet, carve, check
from training.pixels import PixelSet, decode_all

GOLDEN_SIDE = 96  # pixels: what a task adapter file allows


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything a run needs of a data set.

    Attributes:
        name: of the data set.
        labels: class names, in the order of the targets.
        train: images to train on.
        validation: images to choose by.
        test: images for the final figures only; None where the set has none.
        golden: uint8 (h, w, 3), one validation image.
    """

    name: str
    labels: tuple[str, ...]
    train: PixelSet
    validation: PixelSet
    test: PixelSet | None
    golden: np.ndarray

    @cached_property
    def identity(self) -> dict[str, object]:
        """JSON values that differ where anything differs that a run reads: name, labels, images or their classes."""
        sets = {"train": self.train, "validation": self.validation, "test": self.test}
        digests = {name: images.digest if images else None for name, images in sets.items()}
        return {"name": self.name, "labels": list(self.labels), **digests}


def prepare(data: Data, preprocessing: Preprocessing, *, validation: float, seed: int) -> Prepared:
    """Check every image, take a stratified validation split out of train where there is none, and decode all.

    Raises:
        DataError: see training.data.errors.
    """
    check(data)
    test = data.test
    (train, train_rows), (chosen_by, chosen_rows) = _cut(data, validation, seed)
    golden = chosen_by.image(int(chosen_rows[0]))
    golden.thumbnail((GOLDEN_SIDE, GOLDEN_SIDE))
    return Prepared(
        name=public_name(data.name),
        labels=data.labels,
        train=decode_all(train, preprocessing, train_rows),
        validation=decode_all(chosen_by, preprocessing, chosen_rows),
        test=decode_all(test, preprocessing, range(len(test))) if test is not None else None,
        golden=np.asarray(golden),
    )


def _cut(
    data: Data, fraction: float, seed: int
) -> tuple[tuple[ImageSet, Sequence[int]], tuple[ImageSet, Sequence[int]]]:
    """Images to train on and images to choose by, each as a set and rows of it."""
    if data.validation is not None:
        return (data.train, range(len(data.train))), (data.validation, range(len(data.validation)))
    train, held_back = carve(data.train.targets, fraction=fraction, seed=seed)
    return (data.train, train.tolist()), (data.train, held_back.tolist())


def public_name(spec: str) -> str:
    """The data set's name as a manifest may carry it: a path would reveal the machine it was trained on."""
    path = Path(spec)
    return path.resolve().stem if path.exists() else spec
