"""The frozen prefix, computed once: tokens that enter the first site where anything trains.

Everything before that site stays the same from epoch to epoch, as long as its input does. So each image is augmented
in a number of ways (views) once, the views take turns by epoch, and the prefix of each is computed when it is first
asked for. When the first site moves on after a pruning, what is stored goes on from where it ended.

Nothing here is saved with a run: views are seeded, so a resumed run computes the same tokens again.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from backbone import Backbone
from training.augment import augment
from training.options import FitOptions
from training.pixels import PixelSet
from training.precision import autocast

CHUNK = 256  # images a time; fixed, so that the same image gives the same bits again

View = Callable[[Tensor, int], Tensor]  # uint8 pixels (B, H, W, 3) and the number of their chunk -> as many pixels


def as_they_are(pixels: Tensor, chunk: int) -> Tensor:
    """The view of evaluation: no augmentation."""
    del chunk
    return pixels


def augmented_views(fit: FitOptions, seed: int) -> tuple[View, ...]:
    """`fit.views` ways to augment a set, each drawn by the seed and its number."""

    def view(number: int) -> View:
        def draw(pixels: Tensor, chunk: int) -> Tensor:
            generator = torch.Generator().manual_seed((seed * 10_007 + number) * 1_000_003 + chunk)
            return augment(pixels, fit, generator)

        return draw

    return tuple(map(view, range(fit.views)))


@dataclass(slots=True, eq=False)
class PrefixCache:
    """What enters a site, for every image of a set, by view.

    Attributes:
        images: of the set.
        views: how each view changes an image.
        memory_limit: bytes above which what is stored lies in unnamed files, mapped into memory.
    """

    images: PixelSet
    views: tuple[View, ...] = (as_they_are,)
    memory_limit: int = 4 * 2**30
    _stored: dict[int, tuple[int, Tensor]] = field(default_factory=dict)  # view -> (site, what enters it)

    def inputs(self, backbone: Backbone, view: int, site: int) -> Tensor:
        """Tokens (n, …) that enter `site` > 0, or for site 0 the view's pixels (n, H, W, 3).

        Another backbone, or other images, need another cache.
        """
        reached, stored = self._stored.get(view, (-1, self.images.pixels))
        if reached > site:
            reached, stored = -1, self.images.pixels
        if reached < 0:
            reached, stored = 0, self._chunked(stored, self.views[view])
        if reached < site:
            start = reached
            stored = self._chunked(stored, lambda x, _: _advanced(backbone, x, start, site))
        self._stored[view] = (site, stored)
        return stored

    def _chunked(self, source: Tensor, change: View) -> Tensor:
        """`change` of every chunk, in one tensor."""
        found: Tensor | None = None
        for number, start in enumerate(range(0, len(source), CHUNK)):
            changed = change(source[start : start + CHUNK], number)
            found = self._room(changed, len(source)) if found is None else found
            found[start : start + CHUNK] = changed
        return source if found is None else found

    def _room(self, like: Tensor, count: int) -> Tensor:
        """Room for `count` rows of the kind of `like`: in memory, or in a file where all views are too many."""
        shape, row = (count, *like.shape[1:]), like[0].numel() * like.element_size()
        if row * count * len(self.views) <= self.memory_limit:
            return like.new_empty(shape)
        with tempfile.TemporaryFile() as file:  # the mapping outlives the handle, and the file its name
            raw = np.memmap(file, np.uint8, "w+", shape=(count, row))
        return torch.from_numpy(raw).view(like.dtype).view(shape)


@torch.no_grad()  # not inference_mode: its tensors cannot be saved for a backward pass
def _advanced(backbone: Backbone, x: Tensor, start: int, stop: int) -> Tensor:
    """From pixels (start 0) or from tokens that enter `start`, to tokens that enter `stop`."""
    device = next(backbone.parameters()).device
    x = x.to(device, non_blocking=True)
    with autocast(device):
        if start == 0:
            x = backbone.embed(backbone.preprocessing.normalize(x))
        return backbone.advance(x, start, stop)
