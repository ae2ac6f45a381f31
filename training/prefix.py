"""The frozen prefix of a network, computed once: its output serves every epoch.

Everything before the first site that trains stays the same from epoch to epoch, as long as its input does. So each
image is augmented in a number of ways (views) once, and the views take turns by epoch. The prefix of a view is computed
when it is first asked for. After a pruning the first live site may move on: then the stored output is taken further.

Nothing here is saved with a run: views are seeded, so a resumed run computes the same tokens again.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from training.augment import augment
from training.frozen import FrozenBackbone, autocast
from training.options import FitOptions
from training.pixels import PixelSet


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """The end of the prefix: everything before site `site` is fixed, and with `branch` its branch is too.

    The output at a cut is the tokens (B, …) that enter the site. With `branch` it is the residual stream and the
    output of the branch (B, 2, …). At the start of a stage these take no more room than the tokens before the merging.
    """

    site: int
    branch: bool = False


START = Cut(0)
"""Nothing is fixed: the output is pixels."""


@torch.no_grad()  # not inference_mode: its tensors cannot be saved for a backward pass
def advanced(frozen: FrozenBackbone, x: Tensor, start: Cut, stop: Cut) -> Tensor:
    """Compute the output at cut `stop` from the output `x` at the earlier cut `start`, without adapters."""
    backbone, backend = frozen.backbone, frozen.bare
    x = x.to(frozen.device, non_blocking=True)
    site = start.site
    with autocast(frozen.device, frozen.precision):
        if start == START:
            x = backbone.embed(backbone.preprocessing.normalize(x))
        elif start.branch:
            x, site = x[:, 0] + x[:, 1], site + 1
        x = backend.advance(x, site, stop.site)
        if not stop.branch:
            return x
        x = backend.enter(stop.site, x)
        return torch.stack((x, backend.branch(stop.site, x)), 1)


CHUNK = 256  # images whose augmentation is drawn together
BATCH = 32  # images a forward, so few that a stage's activations stay in a CPU's cache; fixed: the same bits again

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
    """The output at a cut for every image of a set, by view.

    Attributes:
        images: of the set.
        views: how each view changes an image.
        memory_limit: bytes above which outputs lie in unnamed files, mapped into memory.
    """

    images: PixelSet
    views: tuple[View, ...] = (as_they_are,)
    memory_limit: int = 4 * 2**30
    _stored: dict[int, tuple[Cut, Tensor]] = field(default_factory=dict)  # view -> (cut, output there)

    def inputs(self, frozen: FrozenBackbone, view: int, cut: Cut) -> Tensor:
        """The output at `cut` (n, …); at START the view's pixels (n, H, W, 3).

        Another backbone, or other images, need another cache.
        """
        reached, stored = self._stored.get(view) or self._viewed(view)
        if reached > cut:
            reached, stored = self._viewed(view)
        if reached < cut:
            start = reached
            stored = self._chunked(stored, BATCH, lambda x, _: advanced(frozen, x, start, cut))
        self._stored[view] = (cut, stored)
        return stored

    def _viewed(self, view: int) -> tuple[Cut, Tensor]:
        return START, self._chunked(self.images.pixels, CHUNK, self.views[view])

    def _chunked(self, source: Tensor, size: int, change: View) -> Tensor:
        """`change` of every chunk of `size` rows, in one tensor."""
        found: Tensor | None = None
        for number, chunk in enumerate(source.split(size)):
            changed = change(chunk, number)
            found = self._room(changed, len(source)) if found is None else found
            found[number * size : number * size + len(chunk)] = changed
        return source if found is None else found

    def _room(self, like: Tensor, count: int) -> Tensor:
        """Room for `count` rows of the kind of `like`: in memory, or in a file where all views are too many."""
        shape, row = (count, *like.shape[1:]), like[0].numel() * like.element_size()
        if row * count * len(self.views) <= self.memory_limit:
            return like.new_empty(shape)
        with tempfile.TemporaryFile() as file:  # the mapping outlives the handle, and the file its name
            raw = np.memmap(file, np.uint8, "w+", shape=(count, row))
        return torch.from_numpy(raw).view(like.dtype).view(shape)
