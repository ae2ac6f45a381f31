"""One forward pass for rows of many tasks over trunks that they share.

A task's adapter is two products at its exact width, on the one slice where its rows lie. Rows without a live adapter
at a site are not touched there; a site where no row is live is the bare sub-layer; a batch of one task over different
images is one slice, the straight path. Knows tensors and slices; planning.py says which.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone
from backbone.layers import Compute
from service.engine.planning import Live, Plan


@torch.inference_mode()
def forward(
    backbone: Backbone, images: Tensor, plan: Plan, *, branches: Sequence[Compute]
) -> list[tuple[Tensor, Tensor]]:
    """Logits (rows, K) and features (rows, F) of each group.

    Args:
        backbone: the frozen network.
        images: (B, 3, H, W), normalised, in the order of the plan's images.
        plan: what to share and where to fork.
        branches: what computes each sub-layer's output; it may be overwritten.
    """
    x, sites = backbone.embed(images), backbone.sites
    for site, branch in zip(sites, branches, strict=True):
        x = site.enter(x)
        h = branch(x)
        if site.index in plan.forks:
            x, h = fork(x, plan.forks[site.index]), fork(h, plan.forks[site.index])
        x = (adapt(h, plan.live[site.index]) if site.index in plan.live else h).add_(x)
    features = backbone.pool(x)  # (B, F)
    if len(sites) in plan.forks:  # tasks without a live site part only here
        features = fork(features, plan.forks[len(sites)])
    parts = [(resident.head, features[rows]) for resident, rows in plan.groups]
    return [(functional.linear(part, *head), part) for head, part in parts]


def fork(x: Tensor, order: Sequence[int]) -> Tensor:
    """The rows of `x` (B, ...) that go on, some of them more than once: (len(order), ...)."""
    return x.index_select(0, torch.tensor(order, device=x.device))


def adapt(h: Tensor, live: Sequence[Live]) -> Tensor:
    """Add to each slice of `h` (B, ..., M) what its adapter gives, in place; the other rows stay as they are."""
    h = h.contiguous()
    tokens = [h[group.rows].view(-1, h.shape[-1]) for group in live]  # each (rows·tokens, M)
    hidden = [functional.linear(x, group.weights.down) for x, group in zip(tokens, live, strict=True)]
    for x, a, group in zip(tokens, _activate(hidden), live, strict=True):
        torch.addmm(x, a, group.weights.up.t(), out=x)
    return h


def _activate(hidden: Sequence[Tensor]) -> Sequence[Tensor]:
    """GELU of each, in one call: on the CPU a call costs as much as a small task's products."""
    if len(hidden) == 1:
        return [functional.gelu(hidden[0])]
    activated = functional.gelu(torch.cat([x.flatten() for x in hidden]))
    parts = torch.split(activated, [x.numel() for x in hidden])
    return [part.view_as(x) for part, x in zip(parts, hidden, strict=True)]
