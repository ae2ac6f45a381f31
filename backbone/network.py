"""A frozen vision transformer as a flat list of sub-layers, and the loop over this list.

    x = backbone.embed(images)                 # (B, H, W, C) or (B, L, C)
    for site in backbone.sites:
        x = site.enter(x)                      # patch merging at the start of a Swin stage, else x
        h = site.branch(x)                     # output of attention or MLP
        x = x + adapt(site.index, h)           # h itself where the task has no adapter
    features = backbone.pool(x)                # (B, F)

This file knows no architecture: swin.py, vit.py, eva.py and cvt.py make the list.
"""

from collections.abc import Callable, Iterator
from typing import cast

from torch import Tensor, nn

from backbone.fingerprint import fingerprint_of
from backbone.layers import Branch
from backbone.preprocessing import Preprocessing

Adapt = Callable[[int, Tensor], Tensor]


class SubLayer(nn.Module):
    """One residual branch and the site behind it.

    Attributes:
        index: number of the site, counted from the input.
        dim: channels M at the site.
        tokens: tokens of one image at the site.
        flops: FLOPs of the branch, for one image.
        enter_flops: FLOPs of `enter`, for one image.
    """

    def __init__(
        self,
        index: int,
        branch: Branch,
        *,
        shape: tuple[int, int],
        enter: nn.Module | None = None,
        enter_flops: int = 0,
    ) -> None:
        """Take over `branch` and `enter`; `shape` is (tokens, dim) at the site."""
        super().__init__()
        self.index = index
        self.tokens, self.dim = shape
        self.branch, self.enter = branch, enter or nn.Identity()
        self.flops, self.enter_flops = branch.flops(self.tokens), enter_flops

    def opened(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The residual stream at this site, and the branch's output; the caller adds them. `x` are incoming tokens."""
        x = self.enter(x)
        return x, self.branch(x)


class Stem(nn.Module):
    """From normalised images to tokens. `flops` are for one image."""

    flops: int


class Tail(nn.Module):
    """From the tokens behind the last site to the features. `flops` are for one image."""

    flops: int = 0  # norms and means are not counted


class Backbone(nn.Module):
    """The frozen network without its classifier.

    Attributes:
        name: the architecture's name.
        fingerprint: SHA-256 (hex) of the parameter values in float32, taken before any cast.
        preprocessing: how a decoded image becomes this network's input.
        feature_dim: F, length of the pooled feature vector.
        flops: FLOPs of the forward pass without adapters, for one image.
    """

    def __init__(
        self,
        name: str,
        parts: tuple[Stem, list[SubLayer], Tail],
        *,
        feature_dim: int,
        preprocessing: Preprocessing,
    ) -> None:
        """Assemble and freeze `parts`: stem, sub-layers, and the pooling tail."""
        super().__init__()
        self.name, self.feature_dim, self.preprocessing = name, feature_dim, preprocessing
        self.stem, sites, tail = parts
        self.tail: nn.Module = tail  # a training method may put a part around it
        self.layers = nn.ModuleList(sites)
        self.requires_grad_(False)
        self.eval()
        self.fingerprint = fingerprint_of(self)
        self.flops = self.stem.flops + sum(site.enter_flops + site.flops for site in sites) + tail.flops

    @property
    def sites(self) -> tuple[SubLayer, ...]:
        """The sub-layers, from the input to the output."""
        return tuple(cast(Iterator[SubLayer], iter(self.layers)))

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32, normalised -> (B, H', W', C) or (B, L, C)."""
        x: Tensor = self.stem(images)
        return x

    def pool(self, x: Tensor) -> Tensor:
        """Final norm and pooling -> (B, F)."""
        features: Tensor = self.tail(x)
        return features

    def forward(self, images: Tensor, adapt: Adapt | None = None) -> Tensor:
        """Features (B, F) of images (B, 3, H, W); `adapt(site, h)` replaces each branch output h."""
        return self.pool(self.advance(self.embed(images), 0, None, adapt))

    def advance(self, x: Tensor, start: int, stop: int | None = None, adapt: Adapt | None = None) -> Tensor:
        """Run the sites from `start` up to, but not including, `stop` (None: to the end).

        Args:
            x: the tokens in front of site `start`.
            start: number of the first site.
            stop: number of the site to stop at. A later call can go on from there with the result.
            adapt: as in `forward`.

        Returns:
            The tokens in front of site `stop`, or in front of the pooling.
        """
        for site in self.sites[start:stop]:
            x, h = site.opened(x)
            x = x + (adapt(site.index, h) if adapt else h)
        return x
