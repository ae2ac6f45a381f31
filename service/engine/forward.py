"""One forward pass for rows of many tasks.

Rows lie sorted by task, so a task's rows are one slice of every activation and its adapter is two products at its
exact width. Rows without a live adapter at a site are not touched there; a site where no row is live is the bare
sub-layer; a batch of one task is one slice, the straight path. Knows tensors and slices; knows no queue, no request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone, SiteWeights
from service.engine.bank import Resident


class Group(NamedTuple):
    """The slice of a batch that belongs to one task."""

    resident: Resident
    rows: slice


class Live(NamedTuple):
    """An adapter at one site, and the slice of the batch it acts on."""

    weights: SiteWeights
    rows: slice


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is computed.

    Attributes:
        order: for each position in the batch, which of the given rows lies there.
        groups: one for each task, in the order of their slices.
        live: adapters that act, by site; a site where no row is live is absent.
    """

    order: tuple[int, ...]
    groups: tuple[Group, ...]
    live: dict[int, list[Live]]


def plan(residents: Sequence[Resident]) -> Plan:
    """Sort rows by task, tasks in the order of their first row; `residents` gives the task of each row."""
    members: dict[Resident, list[int]] = {}
    for row, resident in enumerate(residents):
        members.setdefault(resident, []).append(row)
    groups, order = [], list[int]()
    for resident, rows in members.items():
        groups.append(Group(resident, slice(len(order), len(order) + len(rows))))
        order += rows
    return Plan(tuple(order), tuple(groups), _live(groups))


def _live(groups: Iterable[Group]) -> dict[int, list[Live]]:
    live: dict[int, list[Live]] = {}
    for resident, rows in groups:
        for index, weights in resident.sites.items():
            live.setdefault(index, []).append(Live(weights, rows))
    return live


@torch.inference_mode()
def forward(backbone: Backbone, images: Tensor, plan: Plan) -> list[Tensor]:
    """Logits of each group (rows, K) for `images` (B, 3, H, W), normalised and in the plan's order."""
    x = backbone.embed(images)
    for site in backbone.sites:
        x = site.enter(x)
        h = site.branch(x)
        x = x + (adapt(h, plan.live[site.index]) if site.index in plan.live else h)
    features = backbone.pool(x)  # (B, F)
    return [functional.linear(features[rows], *resident.head) for resident, rows in plan.groups]


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
