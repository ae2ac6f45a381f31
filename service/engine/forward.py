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
from backbone.arithmetic import Compute, adapt_slices
from service.engine.planning import Plan


@torch.inference_mode()
def forward(backbone: Backbone, images: Tensor, plan: Plan, branches: Sequence[Compute]) -> list[tuple[Tensor, Tensor]]:
    """Logits (rows, K) and features (rows, F) of each group.

    Args:
        backbone: the frozen network.
        images: (B, 3, H, W), normalised, in the order of the plan's images.
        plan: what to share and where to fork.
        branches: what computes each sub-layer.
    """
    x, sites = backbone.embed(images), backbone.sites
    for site, branch in zip(sites, branches, strict=True):
        x, live = site.enter(x), plan.live.get(site.index, ())
        if site.index in plan.forks:
            x, h = (fork(tensor, plan.forks[site.index]) for tensor in (x, branch(x)))
            x = adapt_slices(h, live, x)
        else:
            x = branch.added(x, live)
    features = backbone.pool(x)  # (B, F)
    if len(sites) in plan.forks:  # tasks without a live site part only here
        features = fork(features, plan.forks[len(sites)])
    parts = [(resident.head, features[rows]) for resident, rows in plan.groups]
    return [(functional.linear(part, *head), part) for head, part in parts]


def fork(x: Tensor, order: Sequence[int]) -> Tensor:
    """The rows of `x` (B, ...) that go on, some of them more than once: (len(order), ...)."""
    return x.index_select(0, torch.tensor(order, device=x.device))
