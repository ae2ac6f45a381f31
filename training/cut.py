"""A place in a network up to which nothing trains, and what stands there: computed once, it serves every epoch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from backbone import Backbone
from training.bare import bare
from training.options import Precision
from training.precision import autocast


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """Everything before site `site` is fixed; with `branch`, so is its branch, and only what adapts its output trains.

    What stands there is the tokens that enter the site (B, …); with `branch` the residual stream and the branch's
    output (B, 2, …), which at the start of a stage take no more room than the tokens before the merging.
    """

    site: int
    branch: bool = False


START = Cut(0)
"""Nothing is fixed: what stands there is pixels."""


@torch.no_grad()  # not inference_mode: its tensors cannot be saved for a backward pass
def advanced(backbone: Backbone, x: Tensor, start: Cut, stop: Cut, precision: Precision = "auto") -> Tensor:
    """From what stands at `start`, on the bare backbone, to what stands at the later `stop`."""
    device, backend = next(backbone.parameters()).device, bare(backbone)
    x = x.to(device, non_blocking=True)
    site = start.site
    with autocast(device, precision):
        if start == START:
            x = backbone.embed(backbone.preprocessing.normalize(x))
        elif start.branch:
            x, site = x[:, 0] + x[:, 1], site + 1
        x = backend.advance(x, site, stop.site)
        if not stop.branch:
            return x
        x = backend.enter(stop.site, x)
        return torch.stack((x, backend.branch(stop.site, x)), 1)
