"""What computes a frozen network's branches and the adapters behind them: its own modules, or something faster."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from backbone.adapter import SiteWeights
from backbone.layers import Branch
from backbone.network import Backbone

Slice = tuple[SiteWeights, slice]  # an adapter, and the rows of a batch that it acts on


class Compute(Protocol):
    """What computes a residual branch."""

    def __call__(self, x: Tensor) -> Tensor:
        """The branch's output (B, ..., C) for what enters it; it may be overwritten."""
        ...

    def added(self, x: Tensor, live: Sequence[Slice] = ()) -> Tensor:
        """`x` (B, ..., C) plus the branch's output, on which adapters have acted; see `adapt_slices`."""
        ...


class Plain:
    """The branch's own module, and PyTorch's operators."""

    def __init__(self, branch: Branch) -> None:
        """Compute `branch`."""
        self._branch = branch

    def __call__(self, x: Tensor) -> Tensor:
        """The branch's output."""
        out: Tensor = self._branch(x)
        return out

    def added(self, x: Tensor, live: Sequence[Slice] = ()) -> Tensor:
        """`x` plus the adapted output."""
        return adapt_slices(self(x), live, x)


def by_modules(backbone: Backbone) -> tuple[Compute, ...]:
    """Each site's branch by its own module."""
    return tuple(Plain(site.branch) for site in backbone.sites)


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
