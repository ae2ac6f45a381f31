"""RepAdapter (Luo et al. 2023, arXiv 2302.08106): a linear bottleneck in front of qkv and fc1, x + s · Up Down x.

It reads what the norm gives, has no activation, and its up-projection is in groups; so it folds into the next layer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from training.methods.draws import Dropout, linear
from training.methods.parts import Before, fork, linears_of
from training.model import TaskModel

_GROUPS, _DROPOUT = 2, 0.1


class GroupedBottleneck(nn.Module):
    """x + s · Up(dropout(Down x)) with Up in groups: (..., M) -> (..., M); the identity at first."""

    def __init__(self, dim: int, hidden: int, scale: float, generator: torch.Generator) -> None:
        """`hidden` channels between, both multiples of the groups with `dim`."""
        super().__init__()
        self.down, self.scale = linear((dim, hidden), "xavier", generator), scale
        self.up = nn.Parameter(torch.zeros(dim, hidden // _GROUPS))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.dropout = Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        parts = self.dropout(self.down(x)).chunk(_GROUPS, -1)
        groups = [functional.linear(part, up) for part, up in zip(parts, self.up.chunk(_GROUPS), strict=True)]
        return x + (torch.cat(groups, -1) + self.bias) * self.scale


def repadapter(backbone: Backbone, classes: int, seed: int, *, hidden: int = 8, scale: float = 1.0) -> TaskModel:
    """A bottleneck of `hidden` channels in front of the first linear layer of every branch.

    Raises:
        ValueError: `hidden` is not a multiple of the groups.
    """
    if hidden % _GROUPS:
        raise ValueError(f"hidden must be a multiple of {_GROUPS}, not {hidden}")
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        name = linears_of(site.branch)[0]
        bottleneck = GroupedBottleneck(site.dim, hidden, scale, generator)
        setattr(site.branch, name, Before(getattr(site.branch, name), bottleneck))
    return model
