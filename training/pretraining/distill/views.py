"""The images that the student learns from, and their views.

A view is named by (source, image, number) and drawn from these and a seed alone. Teacher and student therefore see
the same view in different runs, each at its own size. View 0 is the whole image after the backbone's preprocessing. The
others are random crops with mild changes of light, half of them mirrored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from backbone import Preprocessing
from training.data import ImageSet, load_data

Pixels = NDArray[np.uint8]

# Views of each image in a round; a small set is shown more often, so that it has weight.
ROUND = (
    ("tiny-imagenet", 1), ("cifar10", 2), ("gtsrb", 2), ("dtd10", 8), ("pacs-photo", 3), ("pacs-art-painting", 3),
    ("pacs-cartoon", 3), ("pacs-sketch", 3), ("hymenoptera", 6),
)  # fmt: skip
LABELLED = "tiny-imagenet"  # the set whose classes the student learns

_RATIO = 4 / 3  # the most that a crop is wider than high, or higher than wide, for a square image
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """Options of the views.

    Attributes:
        seed: of every draw.
        smallest: share of the image's area that a crop keeps at least.
        jitter: brightness, contrast and saturation by 1 ± this.
    """

    seed: int = 0
    smallest: float = 0.35
    jitter: float = 0.3


@dataclass(frozen=True, slots=True)
class Source:
    """One data set's training half.

    Attributes:
        name: of the data set.
        images: of its training half.
        views: of each image in a round; small sets are shown more often.
        labelled: whether the student learns the classes.
    """

    name: str
    images: ImageSet
    views: int
    labelled: bool


@dataclass(frozen=True, slots=True)
class View:
    """One view of one image: indices of the source and of the image in it, and its number."""

    source: int
    image: int
    number: int


def load_sources(folder: Path, counts: Sequence[tuple[str, int]], labelled: str) -> tuple[Source, ...]:
    """The training halves of `folder`'s data sets, each with its views a round.

    Raises:
        DataError: one of its kinds, naming what is to blame.
    """
    return tuple(Source(name, load_data(str(folder / name)).train, views, name == labelled) for name, views in counts)


def round_of(sources: Sequence[Source], number: int, options: ViewOptions) -> list[View]:
    """The views of round `number`, mixed: any part of them is a fair sample of all sources."""
    views = [
        View(index, image, number * source.views + view)
        for index, source in enumerate(sources)
        for image in range(len(source.images))
        for view in range(source.views)
    ]
    order = np.random.default_rng((options.seed, number)).permutation(len(views))
    return [views[place] for place in order]


def draw(image: Image.Image, view: View, options: ViewOptions, sizes: Sequence[Preprocessing]) -> tuple[Pixels, ...]:
    """`view` of `image`, once for each of `sizes`: uint8 (H, W, 3)."""
    if view.number == 0:
        return tuple(size.pixels(image) for size in sizes)
    rng = np.random.default_rng((options.seed, view.source, view.image, view.number))
    box = _crop(image.size, options.smallest, rng)
    mirrored, factors = rng.random() < 0.5, 1 + options.jitter * rng.uniform(-1, 1, 3)  # noqa: PLR2004 - half of them
    relit = _relight(image, factors)
    if mirrored:
        relit = relit.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return tuple(
        np.asarray(relit.resize((size.size[1], size.size[0]), Image.Resampling.BICUBIC, box=box)) for size in sizes
    )


def _crop(size: tuple[int, int], smallest: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A box of random area, shape and place inside `size`: left, top, right, bottom in pixels."""
    width, height = size
    for _ in range(_TRIES):
        area = width * height * rng.uniform(smallest, 1)
        ratio = exp(rng.uniform(-log(_RATIO), log(_RATIO)))
        across, down = sqrt(area * ratio), sqrt(area / ratio)
        if across <= width and down <= height:
            left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
            return left, top, left + across, top + down
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _relight(image: Image.Image, factors: NDArray[np.float64]) -> Image.Image:
    """Brightness, contrast and saturation, each times its factor."""
    for enhance, factor in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
    ):
        image = enhance(image).enhance(float(factor))
    return image
