"""What computes a frozen network between its stem and its pooling: its own modules, or something faster.

Adapters act on slices of a batch; rows outside of them have none.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from backbone.adapter import SiteWeights
from backbone.network import Backbone

Slice = tuple[SiteWeights, slice]  # an adapter, and the rows of a batch that it acts on
Live = Mapping[int, Sequence[Slice]]  # of a site, in the order of the slices, which do not overlap

BARE: Live = {}


class Arithmetic(Protocol):
    """What computes the sub-layers of one network. Tokens are (B, H, W, C) or (B, L, C)."""

    @property
    def compiled(self) -> int:
        """How many of the sub-layers are computed by something else than their modules."""
        ...

    def enter(self, site: int, x: Tensor) -> Tensor:
        """Tokens that stand before the branch of a site, from those that enter the site."""
        ...

    def branch(self, site: int, x: Tensor) -> Tensor:
        """The branch's output for what `enter` gives; it may be overwritten."""
        ...

    def advance(self, x: Tensor, start: int, stop: int, live: Live = BARE) -> Tensor:
        """Tokens that enter site `stop`, or the pooling, from those that enter site `start`, adapters included."""
        ...


class ByModules:
    """The network's own modules, and PyTorch's operators."""

    def __init__(self, backbone: Backbone) -> None:
        """Compute `backbone`."""
        self._sites = backbone.sites

    @property
    def compiled(self) -> int:
        """None."""
        return 0

    def enter(self, site: int, x: Tensor) -> Tensor:
        """As `Arithmetic.enter`."""
        entered: Tensor = self._sites[site].enter(x)
        return entered

    def branch(self, site: int, x: Tensor) -> Tensor:
        """As `Arithmetic.branch`."""
        out: Tensor = self._sites[site].branch(x)
        return out

    def advance(self, x: Tensor, start: int, stop: int, live: Live = BARE) -> Tensor:
        """As `Arithmetic.advance`."""
        for site in range(start, stop):
            x = self.enter(site, x)
            x = adapt_slices(self.branch(site, x), live.get(site, ()), x)
        return x


def adapt_slices(h: Tensor, live: Sequence[Slice], x: Tensor) -> Tensor:
    """`x` plus `h`, both (B, ..., M), plus what each adapter of `live` gives for its rows of `h`, which is overwritten.

    The slices are in order and do not overlap; rows outside of them have no adapter.
    """
    h = h.contiguous()
    tokens = [h[rows].view(-1, h.shape[-1]) for _, rows in live]  # each (rows·tokens, M)
    hidden = [functional.linear(part, weights.down) for part, (weights, _) in zip(tokens, live, strict=True)]
    for part, a, (weights, _) in zip(tokens, _activate(hidden), live, strict=True):
        torch.addmm(part, a, weights.up.t(), out=part)
    return h.add_(x)


def _activate(hidden: Sequence[Tensor]) -> Sequence[Tensor]:
    """GELU of each, in one call: on the CPU a call costs as much as a small task's products."""
    if len(hidden) <= 1:
        return [functional.gelu(a) for a in hidden]
    activated = functional.gelu(torch.cat([a.flatten() for a in hidden]))
    parts = torch.split(activated, [a.numel() for a in hidden])
    return [part.view_as(a) for part, a in zip(parts, hidden, strict=True)]
