"""Everything that can be wrong with a data set, found before training starts.

Decodes every image once, in threads (decoders release the interpreter lock), and stops at the first that is bad.
Changes nothing and keeps nothing.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np

from training.data.errors import EmptyClass, SingleClass, TooFewImages
from training.data.sets import Data, ImageSet

_MIN_CLASSES = 2


def check(data: Data, on_image: Callable[[], None] = lambda: None) -> None:
    """Raise one clear error for the first thing wrong with `data`.

    Args:
        data: to check.
        on_image: called after every image, from several threads.

    Raises:
        SingleClass, EmptyClass, TooFewImages, UnreadableImage: see training.data.errors.
    """
    _check_classes(data)
    for images in (data.train, data.validation, data.test):
        if images is not None:
            _check_images(images, on_image)


def _check_classes(data: Data) -> None:
    if len(data.labels) < _MIN_CLASSES:
        found = ", ".join(map(repr, data.labels)) or "none"
        raise SingleClass(f"{data.train.name}: at least two classes are needed, found {found}")
    targets = data.train.targets
    counts = targets.sum(0) if targets.ndim > 1 else np.bincount(targets, minlength=len(data.labels))  # (K,)
    empty = [label for label, count in zip(data.labels, counts, strict=True) if not count]
    if empty and not data.fixed_labels:
        raise EmptyClass(f"{data.train.name}: no image of class {', '.join(map(repr, empty))}")
    for held_back in (data.validation, data.test):
        if held_back is not None and not len(held_back):
            raise TooFewImages(f"{held_back.name}: no image in it")


def _check_images(images: ImageSet, on_image: Callable[[], None]) -> None:
    # A generator that is closed by an error cancels what has not begun.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(_decode, repeat(images), range(len(images))):
            on_image()


def _decode(images: ImageSet, i: int) -> None:
    images.image(i)
