"""A data set made ready to train on: checked, split, decoded, with the image that becomes the golden sample."""

import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from backbone import Backbone, Preprocessing
from backbone.preprocessing import Resize
from training.data import Data, ImageSet, carve, check
from training.pixels import PixelSet, decode_all

_SECONDS = 5.0  # between two lines on how many images are read
_SHARE = 0.25  # of a device's free memory that one set of images may take
GOLDEN_SIDE = 96  # pixels: what a task adapter file allows


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything a run needs of a data set.

    Attributes:
        name: of the data set.
        labels: class names, in the order of the targets.
        train: images to train on.
        validation: images to choose by; empty if all are trained on.
        test: images for the final figures only; None if the set has none.
        golden: uint8 (h, w, 3), one validation image, or one training image if there is none.
        groups: (n,) of the training images that belong together; None: nothing is known of it.
    """

    name: str
    labels: tuple[str, ...]
    train: PixelSet
    validation: PixelSet
    test: PixelSet | None
    golden: np.ndarray
    groups: NDArray[np.int64] | None = None

    def to(self, device: str) -> "Prepared":
        """The same data set with its images on `device`; sets that are too large for it stay where they are."""
        kept: dict[str, PixelSet] = {}
        for name in ("train", "validation", "test"):
            images: PixelSet | None = getattr(self, name)
            if images is not None and fits(images, torch.device(device)):
                kept[name] = images.to(torch.device(device))
        return replace(self, **kept)  # type: ignore[arg-type]

    @property
    def multilabel(self) -> bool:
        """Whether an image has any number of labels, and targets are (n, K)."""
        return self.train.targets.ndim > 1

    @cached_property
    def identity(self) -> dict[str, object]:
        """JSON values that differ where anything differs that a run reads: name, labels, images or their classes."""
        sets = {"train": self.train, "validation": self.validation, "test": self.test}
        digests = {name: images.digest if images is not None else None for name, images in sets.items()}
        return {"name": self.name, "labels": list(self.labels), **digests}


def prepare(
    data: Data, preprocessing: Preprocessing, *, validation: float, seed: int, say: Callable[[str], None] | None = None
) -> Prepared:
    """Check every image, take a stratified validation split out of train if there is none, and decode all.

    Args:
        data: the data set.
        preprocessing: of the backbone.
        validation: share of the training images to hold out if the set has no validation images. 0: train on all
            images, also on those of its validation split.
        seed: of this share.
        say: receives a line every few seconds, and one for images that occur twice.

    Raises:
        DataError: see training.data.errors.
    """
    test = data.test
    sets = [images for images in (data.train, data.validation, test) if images is not None]
    tick = _Counter(2 * sum(map(len, sets)), say)  # each image is decoded to check it, and again to keep it
    check(data, tick)
    learnt, chosen = _cut(data, validation, seed)
    shown, rows = chosen[0] if chosen else learnt[0]
    golden = shown.image(int(rows[0]))
    golden.thumbnail((GOLDEN_SIDE, GOLDEN_SIDE))
    prepared = Prepared(
        name=public_name(data.name),
        labels=data.labels,
        train=_decoded(learnt, data.train, preprocessing, tick),
        validation=_decoded(chosen, data.train, preprocessing, tick),
        test=decode_all(test, preprocessing, range(len(test)), on_image=tick) if test is not None else None,
        golden=np.asarray(golden),
        groups=data.groups[np.asarray(learnt[0][1])] if data.groups is not None and len(learnt) == 1 else None,
    )
    if say:
        for line in repeated(prepared):
            say(line)
    return prepared


def fits(images: PixelSet, device: torch.device) -> bool:
    """Whether a CUDA device has room for a set beside the training; a CPU holds every set already."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return images.pixels.numel() < _SHARE * free


def repeated(prepared: Prepared) -> list[str]:
    """A warning for images that are in two splits, and one for images that have two labels."""
    sets = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    hashes = {name: images.hashes() for name, images in sets.items() if images}
    found = []
    for first, second in combinations(hashes, 2):
        if both := len(set(hashes[first]) & set(hashes[second])):
            found.append(f"warning: {both} images are in the {first} split and in the {second} split too")
    if prepared.multilabel:
        return found
    labels: dict[bytes, set[int]] = {}
    for name, each in hashes.items():
        images = sets[name]
        for image, label in zip(each, images.targets.tolist() if images else [], strict=True):
            labels.setdefault(image, set()).add(label)
    if several := [image for image, of in labels.items() if len(of) > 1]:
        pair = " and ".join(repr(prepared.labels[label]) for label in sorted(labels[several[0]])[:2])
        found.append(f"warning: {len(several)} images have more than one label, such as {pair}")
    return found


class _Counter:
    """Counts images, and says how many are done every few seconds; called from several threads."""

    def __init__(self, total: int, say: Callable[[str], None] | None) -> None:
        self._total, self._say = total, say
        self._done, self._told, self._lock = 0, time.monotonic(), Lock()

    def __call__(self) -> None:
        with self._lock:
            self._done += 1
            if self._say and time.monotonic() - self._told > _SECONDS:
                self._told = time.monotonic()
                self._say(f"reading images: {100 * self._done // self._total} % of {self._total // 2:,}")


Part = tuple[ImageSet, Sequence[int]]  # a set and rows of it


def _cut(data: Data, fraction: float, seed: int) -> tuple[list[Part], list[Part]]:
    """Images to train on and images to choose by."""
    if not fraction:
        sets = [data.train] if data.validation is None else [data.train, data.validation]
        return [(images, range(len(images))) for images in sets], []
    if data.validation is not None:
        return [(data.train, range(len(data.train)))], [(data.validation, range(len(data.validation)))]
    train, held_back = carve(data.train.targets, fraction=fraction, seed=seed, groups=data.groups)
    return [(data.train, train.tolist())], [(data.train, held_back.tolist())]


def _decoded(parts: Sequence[Part], like: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None]) -> PixelSet:
    """The images of all parts, one after another; targets are `like` those of a set, also if there is no image."""
    found = [decode_all(images, preprocessing, rows, on_image=tick) for images, rows in parts]
    if len(found) == 1:
        return found[0]
    shape = like.targets.shape[1:]
    nothing = torch.empty((0, *preprocessing.size, 3), dtype=torch.uint8), torch.empty((0, *shape), dtype=torch.int64)
    pixels = torch.cat([nothing[0], *(each.pixels for each in found)])
    return PixelSet(pixels, torch.cat([nothing[1], *(each.targets for each in found)]))


def with_resize(backbone: Backbone, resize: Resize) -> Backbone:
    """The same network, weights shared, whose preprocessing crops images or squashes them."""
    own = copy(backbone)
    own.preprocessing = replace(backbone.preprocessing, resize=resize)
    return own


def public_name(spec: str) -> str:
    """The data set's name as a manifest may carry it: a path would reveal the machine it was trained on."""
    path = Path(spec)
    return path.resolve().stem if path.exists() else spec
