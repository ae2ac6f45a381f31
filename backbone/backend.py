"""Kernel backends: they compute a frozen network up to its pooling.

`ModuleBackend` runs the network's own modules; `backbone.kernels` holds a faster one. Each adapter acts on a slice of
the batch. Rows outside of all slices have no adapter.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from backbone.adapter import SiteWeights
from backbone.network import Backbone

Slice = tuple[SiteWeights, slice]  # an adapter, and the rows of a batch that it acts on
Live = Mapping[int, Sequence[Slice]]  # by site, in the order of the slices, which do not overlap

BARE: Live = {}


class Backend(Protocol):
    """Computes the sub-layers of one network. Tokens are (B, H, W, C) or (B, L, C)."""

    @property
    def compiled(self) -> int:
        """The number of sub-layers that compiled kernels compute instead of modules."""
        ...

    @property
    def precision(self) -> str:
        """Of the factors of products with frozen weights: "fp32", "bf16" or "int8"."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Tokens that enter the first site, of images (B, 3, H, W) float32, normalised."""
        ...

    def enter(self, site: int, x: Tensor) -> Tensor:
        """The input of a site's branch, from the output of the site before."""
        ...

    def branch(self, site: int, x: Tensor) -> Tensor:
        """The branch's output for an `x` that `enter` returned. The caller may overwrite the output."""
        ...

    def advance(self, x: Tensor, start: int, stop: int, live: Live = BARE) -> Tensor:
        """The input of site `stop`, or of the pooling, from the input of site `start`; adapters included."""
        ...


class ModuleBackend:
    """The network's own modules, and PyTorch's operators."""

    def __init__(self, backbone: Backbone) -> None:
        """Compute `backbone`."""
        self._backbone, self._sites = backbone, backbone.sites

    @property
    def compiled(self) -> int:
        """Always 0."""
        return 0

    @property
    def precision(self) -> str:
        """Always "fp32"."""
        return "fp32"

    def embed(self, images: Tensor) -> Tensor:
        """As `Backend.embed`."""
        return self._backbone.embed(images)

    def enter(self, site: int, x: Tensor) -> Tensor:
        """As `Backend.enter`."""
        entered: Tensor = self._sites[site].enter(x)
        return entered

    def branch(self, site: int, x: Tensor) -> Tensor:
        """As `Backend.branch`."""
        out: Tensor = self._sites[site].branch(x)
        return out

    def advance(self, x: Tensor, start: int, stop: int, live: Live = BARE) -> Tensor:
        """As `Backend.advance`."""
        for site in range(start, stop):
            x = self.enter(site, x)
            x = adapt_slices(self.branch(site, x), live.get(site, ()), x)
        return x


def adapt_slices(h: Tensor, live: Sequence[Slice], x: Tensor) -> Tensor:
    """`x` + `h` + the output of each adapter of `live` for its rows of `h`. Overwrites `h`.

    Both tensors are (B, ..., M). The slices are in order and do not overlap; rows outside of them have no adapter.
    """
    h = h.contiguous()
    tokens = [h[rows].view(-1, h.shape[-1]) for _, rows in live]  # each (rows·tokens, M)
    hidden = [functional.linear(part, weights.down) for part, (weights, _) in zip(tokens, live, strict=True)]
    for part, a, (weights, _) in zip(tokens, _activate(hidden), live, strict=True):
        torch.addmm(part, a, weights.up.t(), out=part)
    return h.add_(x)


def _activate(hidden: Sequence[Tensor]) -> Sequence[Tensor]:
    """GELU of all tensors in one call: on the CPU, one call costs as much as the products of a small task."""
    if len(hidden) <= 1:
        return [functional.gelu(a) for a in hidden]
    activated = functional.gelu(torch.cat([a.flatten() for a in hidden]))
    parts = torch.split(activated, [a.numel() for a in hidden])
    return [part.view_as(a) for part, a in zip(parts, hidden, strict=True)]
