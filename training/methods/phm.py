"""PHM adapters and Compacter (Karimi Mahabadi et al. 2021, arXiv 2106.04647): matrices that are Kronecker sums.

W = sum over i < n of A_i (x) B_i with a rule A of n x n x n; Compacter also has B_i = u_i v_i^T. As in the copy
released with MiMi there is a rule per matrix, not one for all, and adapters sit behind both branches with N = 4M // 32.
The norms, which the authors unfreeze beside their adapters, stay frozen.
"""

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from training.methods.parts import Series, fork
from training.model import TaskModel

_RULES = 12  # n where it divides both sizes
_REDUCTION = 32  # 4M / N


class KroneckerLinear(nn.Module):
    """x W + b with W a sum of Kronecker products: (..., in) -> (..., out)."""

    def __init__(self, size: tuple[int, int], rules: int, generator: torch.Generator, *, rank_one: bool) -> None:
        """`size` is (in, out), both multiples of `rules`; each slice of B is Glorot-uniform, A is N(0, 0.01)."""
        super().__init__()
        inputs, outputs = (channels // rules for channels in size)
        shapes = ((inputs, 1), (1, outputs)) if rank_one else ((inputs, outputs),)
        rule = nn.init.normal_(torch.empty(rules, rules, rules), std=0.01, generator=generator)
        self.rule = nn.Parameter(rule)
        self.blocks = nn.ParameterList(_glorot(rules, shape, generator) for shape in shapes)
        self.bias = nn.Parameter(torch.zeros(size[1]))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        blocks: Tensor = self.blocks[0] if len(self.blocks) == 1 else self.blocks[0] * self.blocks[1]
        weight = torch.einsum("nij,nkl->jlik", self.rule, blocks)  # (n, out / n, n, in / n)
        return functional.linear(x, weight.flatten(2).flatten(0, 1), self.bias)


class PhmAdapter(nn.Module):
    """h + up(GELU(down(h))): (..., M) -> (..., M)."""

    def __init__(self, down: nn.Module, up: nn.Module) -> None:
        """Both projections."""
        super().__init__()
        self.down, self.up = down, up

    def forward(self, h: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        out: Tensor = h + self.up(functional.gelu(self.down(h)))
        return out


def phm(backbone: Backbone, classes: int, seed: int, *, rank_one: bool = False) -> TaskModel:
    """A PHM adapter behind every branch; with `rank_one`, Compacter."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        width = max(1, 4 * site.dim // _REDUCTION)
        rules, sizes = rules_for(site.dim, width), ((site.dim, width), (width, site.dim))
        down, up = (KroneckerLinear(size, rules, generator, rank_one=rank_one) for size in sizes)
        site.branch = Series(site.branch, PhmAdapter(down, up))
    return model


def rules_for(dim: int, width: int) -> int:
    """n: 12, or the largest smaller number that divides both sizes, such as 6 for M = 48 with N = 6."""
    common = gcd(dim, width)
    return max(rules for rules in range(1, _RULES + 1) if common % rules == 0)


def _glorot(rules: int, shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    """(rules, *shape), Glorot-uniform slice by slice with gain sqrt(2)."""
    slices = [nn.init.xavier_uniform_(torch.empty(shape), 2**0.5, generator) for _ in range(rules)]
    return nn.Parameter(torch.stack(slices))
