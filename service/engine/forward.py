"""One forward pass for rows of many tasks over trunks that they share.

A task's adapter is two products at its exact width, on the one slice where its rows lie. Rows without a live adapter
at a site are not touched there; a site where no row is live is the bare sub-layer; a batch of one task over different
images is one slice, the straight path. Knows tensors and slices; planning.py says which.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone
from backbone.arithmetic import Arithmetic, adapt_slices
from service.engine.planning import Plan


@torch.inference_mode()
def forward(backbone: Backbone, images: Tensor, plan: Plan, arithmetic: Arithmetic) -> list[tuple[Tensor, Tensor]]:
    """Logits (rows, K) and features (rows, F) of each group.

    Args:
        backbone: the frozen network.
        images: (B, 3, H, W), normalised, in the order of the plan's images.
        plan: what to share and where to fork.
        arithmetic: what computes the sub-layers.
    """
    x, sites = backbone.embed(images), backbone.sites
    for start, stop in _stretches(plan, len(sites)):
        if start in plan.forks:
            x = _forked(start, x, plan, arithmetic)
        else:
            x = arithmetic.advance(x, start, stop, plan.live)
    features = backbone.pool(x)  # (B, F)
    if len(sites) in plan.forks:  # tasks without a live site part only here
        features = fork(features, plan.forks[len(sites)])
    parts = [(resident.head, features[rows]) for resident, rows in plan.groups]
    return [(functional.linear(part, *head), part) for head, part in parts]


def _stretches(plan: Plan, sites: int) -> Iterator[tuple[int, int]]:
    """The sites from one fork to the next, and each where rows fork by itself: first site, and last + 1."""
    edges = {0, sites, *plan.forks, *(site + 1 for site in plan.forks if site < sites)}
    return pairwise(sorted(edges))


def _forked(site: int, x: Tensor, plan: Plan, arithmetic: Arithmetic) -> Tensor:
    """A site where rows fork: its branch is still the trunk's, its adapters are the rows' own."""
    x = arithmetic.enter(site, x)
    x, h = (fork(tensor, plan.forks[site]) for tensor in (x, arithmetic.branch(site, x)))
    return adapt_slices(h, plan.live.get(site, ()), x)


def fork(x: Tensor, order: Sequence[int]) -> Tensor:
    """The rows of `x` (B, ...) that go on, some of them more than once: (len(order), ...)."""
    return x.index_select(0, torch.tensor(order, device=x.device))
