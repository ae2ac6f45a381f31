"""Bottlenecks added to a frozen network: behind a branch, beside it, or in front of a layer.

Vanilla series adapters are MiMi's own block without the pruning (Marouf, Tartaglione, Lathuilière, WACV 2024,
equation 1 and table 1; after Houlsby et al. 2019).

AdaptFormer (Chen et al. 2022, arXiv 2205.13535): out = x + mlp(norm(x)) + s · Up ReLU Down x. The bottleneck reads
the residual stream before the norm, has biases and no norm of its own, and s is fixed. The authors do not apply
stochastic depth to it; here depth drops the MLP and the bottleneck together where it is on.

Convpass (Jie and Deng 2022, arXiv 2207.07039): out = x + branch(norm(x)) + s · bypass(norm(x)), with a 3x3
convolution in the bypass. Tokens are laid out as the image is; a class token is a 1x1 image of its own. As in the
authors' code the convolution starts at the identity and the up-projection at zero.

RepAdapter (Luo et al. 2023, arXiv 2302.08106): x + s · Up Down x in front of qkv and fc1. It reads the output of the
norm, has no activation, and its up-projection is in groups; so it folds into the next layer.

Adapter+ (Steitz and Roth 2024, arXiv 2406.06820) trains series adapters with a small initialisation, a learned scale of
every channel and stochastic depth, see `training.adapter`. The authors' adapters have biases; ours have none, so that
the trained model is a plain one.

PHM adapters and Compacter (Karimi Mahabadi et al. 2021, arXiv 2106.04647): matrices that are Kronecker sums. W is the
sum over i < n of A_i (x) B_i, with a rule A of n x n x n. Compacter also has B_i = u_i v_i^T. As in the copy released
with MiMi, each matrix has its own rule, and adapters sit behind both branches with N = 4M // 32. The authors train the
norms beside their adapters; here they stay frozen.
"""

from dataclasses import replace
from math import gcd
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from backbone.layers import Mlp
from training.adapter import Adapter
from training.errors import BadConfig
from training.methods.draws import Dropout, linear
from training.methods.parts import Before, Parallel, Series, fork, grid_of, linears_of
from training.model import AdaptedModel, TaskModel
from training.options import ADAPTER_PLUS, AdapterRecipe


def by_sigma(backbone: Backbone, classes: int, seed: int, *, sigma: int) -> AdaptedModel:
    """N = 4M // sigma neurons at every site, at least 1: what every number of the paper on Swin means by sigma."""
    widths = [max(1, 4 * site.dim // sigma) for site in backbone.sites]
    return AdaptedModel(backbone, widths, classes, seed=seed)


def by_width(backbone: Backbone, classes: int, seed: int, *, width: int) -> AdaptedModel:
    """`width` neurons at every site."""
    return AdaptedModel(backbone, [width] * len(backbone.sites), classes, seed=seed)


def tiny(backbone: Backbone, classes: int, seed: int, *, width: int = 1) -> AdaptedModel:
    """The control for "small adapters fail": the up-projection starts at zero, and rates are far larger."""
    recipe = AdapterRecipe(init="zero_up")
    return AdaptedModel(backbone, [width] * len(backbone.sites), classes, recipe=recipe, seed=seed)


def plus(backbone: Backbone, classes: int, seed: int, *, width: int = 8, drop: float = 0.1) -> AdaptedModel:
    """`width` neurons at every site, trained by the recipe of Adapter+."""
    return AdaptedModel(
        backbone, [width] * len(backbone.sites), classes, recipe=replace(ADAPTER_PLUS, adapter_drop=drop), seed=seed
    )


_SCALE, _DROPOUT = 0.1, 0.1


def in_full(backbone: Backbone, classes: int, seed: int, *, sigma: int = 32) -> TaskModel:
    """The same adapters in a network of which every parameter trains ("full-model w/ adapter", the paper's table 4)."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone, lambda _: True), classes, generator)
    for site in model.backbone.sites:
        adapter = Adapter(max(1, 4 * site.dim // sigma), site.dim, generator=generator)
        site.branch = Series(site.branch, adapter)
    return model


class Bottleneck(nn.Module):
    """s · Up(dropout(ReLU(Down x))): (..., M) -> (..., M); zero at first."""

    def __init__(self, dim: int, width: int, scale: float, generator: torch.Generator) -> None:
        """`width` neurons over `dim` channels."""
        super().__init__()
        self.down, self.up = linear((dim, width), "kaiming", generator), linear((width, dim), "zero", generator)
        self.dropout, self.scale = Dropout(_DROPOUT), scale

    def forward(self, x: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        out: Tensor = self.up(self.dropout(functional.relu(self.down(x)))) * self.scale
        return out


def adaptformer(backbone: Backbone, classes: int, seed: int, *, width: int, scale: float = _SCALE) -> TaskModel:
    """A bottleneck of `width` neurons beside every MLP."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        if isinstance(site.branch, Mlp):
            site.branch = Parallel(site.branch, Bottleneck(site.dim, width, scale, generator))
    return model


_DROPOUT = 0.1


class ConvBypass(nn.Module):
    """s · Up(act(conv(act(Down x)))) on maps (B, H, W, M) or sequences (B, L, M); zero at first."""

    def __init__(
        self, dim: int, hidden: int, *, grid: tuple[int, int], scale: float, generator: torch.Generator
    ) -> None:
        """`hidden` channels between; the last tokens of a sequence are a `grid` of patches."""
        super().__init__()
        self.down, self.up = linear((dim, hidden), "xavier", generator), linear((hidden, dim), "zero", generator)
        self.conv = nn.utils.skip_init(nn.Conv2d, hidden, hidden, 3, padding=1)
        nn.init.zeros_(self.conv.bias)
        nn.init.dirac_(self.conv.weight)
        self.dropout, self.grid, self.scale = Dropout(_DROPOUT), grid, scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, M) or (B, L, M), kept."""
        z = _quick_gelu(self.down(x))
        z = self._mix_map(z) if z.ndim == 4 else self._mix_sequence(z)  # noqa: PLR2004
        out: Tensor = self.up(self.dropout(_quick_gelu(z))) * self.scale
        return out

    def _mix_map(self, z: Tensor) -> Tensor:
        """The convolution on (B, H, W, h)."""
        mixed: Tensor = self.conv(z.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return mixed

    def _mix_sequence(self, z: Tensor) -> Tensor:
        """The convolution on the patches of (B, L, h), and on each token before them alone."""
        prefix = z.shape[1] - self.grid[0] * self.grid[1]
        alone = self._mix_map(z[:, :prefix].reshape(-1, 1, 1, z.shape[2])).view(len(z), prefix, -1)
        patches = self._mix_map(z[:, prefix:].unflatten(1, self.grid)).flatten(1, 2)
        return torch.cat([alone, patches], 1)


def _quick_gelu(x: Tensor) -> Tensor:
    return x * functional.sigmoid(1.702 * x)


def convpass(backbone: Backbone, classes: int, seed: int, *, hidden: int = 8, scale: float = 1.0) -> TaskModel:
    """A bypass of `hidden` channels beside every branch; the authors choose `scale` from 0.01 … 100 per task."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    grid = grid_of(model.backbone)
    for site in model.backbone.sites:
        bypass = ConvBypass(site.dim, hidden, grid=grid, scale=scale, generator=generator)
        site.branch = Parallel(site.branch, bypass, read=cast(nn.Module, site.branch.norm))
    return model


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
        BadConfig: `hidden` is not a multiple of the groups.
    """
    if hidden % _GROUPS:
        raise BadConfig(f"hidden must be a multiple of {_GROUPS}, not {hidden}")
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        name = linears_of(site.branch)[0]
        bottleneck = GroupedBottleneck(site.dim, hidden, scale, generator)
        setattr(site.branch, name, Before(getattr(site.branch, name), bottleneck))
    return model


_RULES = 12  # n where it divides both sizes
_SIGMA = 32  # 4M / N


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


def phm(
    backbone: Backbone, classes: int, seed: int, *, sigma: int = _SIGMA, rules: int = _RULES, rank_one: bool = False
) -> TaskModel:
    """A PHM adapter behind every branch; with `rank_one`, Compacter."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        width = max(1, 4 * site.dim // sigma)
        number, sizes = rules_for(site.dim, width, rules), ((site.dim, width), (width, site.dim))
        down, up = (KroneckerLinear(size, number, generator, rank_one=rank_one) for size in sizes)
        site.branch = Series(site.branch, PhmAdapter(down, up))
    return model


def rules_for(dim: int, width: int, most: int = _RULES) -> int:
    """n: `most`, or the largest smaller number that divides both sizes, such as 6 for M = 48 with N = 6."""
    common = gcd(dim, width)
    return max(rules for rules in range(1, most + 1) if common % rules == 0)


def _glorot(rules: int, shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    """(rules, *shape), Glorot-uniform slice by slice with gain sqrt(2)."""
    slices = [nn.init.xavier_uniform_(torch.empty(shape), 2**0.5, generator) for _ in range(rules)]
    return nn.Parameter(torch.stack(slices))
