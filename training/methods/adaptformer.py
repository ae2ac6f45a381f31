"""AdaptFormer (Chen et al. 2022, arXiv 2205.13535): a bottleneck beside the MLP.

out = x + mlp(norm(x)) + s · Up ReLU Down x. The bottleneck reads the residual stream before the norm, has biases and no
norm of its own, and s is fixed. The authors do not apply stochastic depth to it; here depth drops the MLP and the
bottleneck together where it is on.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from backbone.layers import Mlp
from training.methods.draws import Dropout, linear
from training.methods.parts import Parallel, fork
from training.model import TaskModel

_SCALE, _DROPOUT = 0.1, 0.1


class Bottleneck(nn.Module):
    """s · Up(dropout(ReLU(Down x))): (..., M) -> (..., M); zero at first."""

    def __init__(self, dim: int, width: int, generator: torch.Generator) -> None:
        """`width` neurons over `dim` channels."""
        super().__init__()
        self.down, self.up = linear((dim, width), "kaiming", generator), linear((width, dim), "zero", generator)
        self.dropout = Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        out: Tensor = self.up(self.dropout(functional.relu(self.down(x)))) * _SCALE
        return out


def adaptformer(backbone: Backbone, classes: int, seed: int, *, width: int) -> TaskModel:
    """A bottleneck of `width` neurons beside every MLP."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        if isinstance(site.branch, Mlp):
            site.branch = Parallel(site.branch, Bottleneck(site.dim, width, generator))
    return model
