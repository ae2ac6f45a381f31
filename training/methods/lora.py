"""LoRA (Hu et al. 2022, arXiv 2106.09685, section 4.1): W + (alpha / r) · B A beside frozen layers, B zero at first.

On the fused qkv layer the paper's choice "queries and values" is two paths, each into its own third of the rows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from backbone.layers import Mlp
from training.methods.parts import Beside, fork, linears_of
from training.model import TaskModel


class LowRank(nn.Module):
    """x -> scale · B A x, into rows start … start + out of `total`: (..., in) -> (..., total)."""

    def __init__(self, down: Tensor, up: Tensor, *, scale: float, rows: tuple[int, int]) -> None:
        """`down` A (r, in), `up` B (out, r); `rows` is (start, total)."""
        super().__init__()
        self.down, self.up, self.scale = nn.Parameter(down), nn.Parameter(up), scale
        start, total = rows
        self.padding = (start, total - start - len(up))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., total)."""
        out = functional.linear(functional.linear(x, self.down), self.up) * self.scale
        return functional.pad(out, self.padding)


def queries_values(backbone: Backbone, classes: int, seed: int, *, rank: int = 8, alpha: float = 16) -> TaskModel:
    """Rank `rank` beside the queries and beside the values of every attention branch."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        if isinstance(site.branch, Mlp):
            continue
        size, scale = (site.dim, site.dim, rank), alpha / rank
        paths = [_path(size, scale, (start, 3 * site.dim), generator) for start in (0, 2 * site.dim)]
        name = linears_of(site.branch)[0]
        setattr(site.branch, name, Beside(_linear(site.branch, name), *paths))
    return model


def all_linears(backbone: Backbone, classes: int, seed: int, *, rank: int = 2, alpha: float = 4) -> TaskModel:
    """Rank `rank` beside qkv (as one layer), proj, fc1 and fc2."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        for name in linears_of(site.branch):
            base = _linear(site.branch, name)
            size, rows = (base.in_features, base.out_features, rank), (0, base.out_features)
            setattr(site.branch, name, Beside(base, _path(size, alpha / rank, rows, generator)))
    return model


def _linear(branch: nn.Module, name: str) -> nn.Linear:
    layer: nn.Linear = getattr(branch, name)
    return layer


def _path(size: tuple[int, int, int], scale: float, rows: tuple[int, int], generator: torch.Generator) -> LowRank:
    """A path of `size` (in, out, rank)."""
    inputs, outputs, rank = size
    down = nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=5**0.5, generator=generator)
    return LowRank(down, torch.zeros(outputs, rank), scale=scale, rows=rows)
