"""FacT (Jie and Deng 2023, arXiv 2212.03145): the changes of all linear layers share one U and one V.

Each layer has only a small core of its own: dW = s · V core U, with U and V over M channels. A layer with 4M channels
on a side splits that side into four groups. TT (tensor train) gives every layer its core; TK (Tucker) mixes every core
from one tensor C with columns of P. Swin has several widths, and one U and V for each, as in the copy released with
MiMi (which calls its TT "TK"). All widths share C. That code applies U three times to the input of qkv, here it is
applied once.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone, SubLayer
from backbone.errors import UnsupportedBackbone
from training.methods.draws import Dropout
from training.methods.parts import Beside, fork, linears_of
from training.model import TaskModel

_SCALE, _DROPOUT = 0.1, 0.1  # the authors choose s in {0.01, 0.1, 1, 10, 100} per task; 0.1 is MiMi's


class Factors(nn.Module):
    """U (r, M) and V (M, r), shared by all layers over M channels; V starts at zero."""

    def __init__(self, dim: int, rank: int, generator: torch.Generator) -> None:
        """Factors over `dim` channels."""
        super().__init__()
        bound = dim**-0.5
        self.u = nn.Parameter(nn.init.uniform_(torch.empty(rank, dim), -bound, bound, generator=generator))
        self.v = nn.Parameter(torch.zeros(dim, rank))


class DenseCore(nn.Module):
    """TT: a core of the layer's own, (b·r, a·r)."""

    def __init__(self, groups: tuple[int, int], rank: int, generator: torch.Generator) -> None:
        """`groups` (a, b) of M channels on the input's and the output's side."""
        super().__init__()
        inputs, outputs = groups[0] * rank, groups[1] * rank
        bound = inputs**-0.5
        self.core = nn.Parameter(nn.init.uniform_(torch.empty(outputs, inputs), -bound, bound, generator=generator))

    def forward(self) -> Tensor:
        """(b·r, a·r)."""
        return self.core


class Tucker(nn.Module):
    """The shared factors of all TK cores: C (r, r, r) and P (r, slices)."""

    def __init__(self, slices: int, rank: int, generator: torch.Generator) -> None:
        """P has a column for every r x r slice of the network."""
        super().__init__()
        self.c = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, rank, rank), generator=generator))
        self.p = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, slices), generator=generator))


class MixedCore(nn.Module):
    """TK: slices of C · P side by side, (b·r, a·r)."""

    def __init__(self, tucker: Tucker, groups: tuple[int, int], first: int) -> None:
        """`groups` (a, b), one of them 1, from column `first` of P on."""
        super().__init__()
        self.tucker, self.wide = tucker, groups[0] > 1
        self.columns = slice(first, first + max(groups))

    def forward(self) -> Tensor:
        """(b·r, a·r)."""
        slices = (self.tucker.c @ self.tucker.p[:, self.columns]).permute(2, 0, 1)  # (k, r, r)
        return slices.transpose(0, 1).flatten(1) if self.wide else slices.flatten(0, 1)


class FactPath(nn.Module):
    """x -> s · V core U x, group by group: (..., a·M) -> (..., b·M)."""

    def __init__(self, factors: Factors, core: nn.Module, groups: tuple[int, int], scale: float = _SCALE) -> None:
        """`core` gives (b·r, a·r) for `groups` (a, b)."""
        super().__init__()
        self.factors, self.core, self.groups, self.scale = factors, core, groups, scale
        self.dropout = Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(..., a·M) -> (..., b·M)."""
        z = functional.linear(x.unflatten(-1, (self.groups[0], -1)), self.factors.u).flatten(-2)  # (..., a·r)
        z = self.dropout(functional.linear(z, self.core())).unflatten(-1, (self.groups[1], -1))  # (..., b, r)
        return functional.linear(z, self.factors.v).flatten(-2) * self.scale


def fact_tt(backbone: Backbone, classes: int, seed: int, *, rank: int = 32, scale: float = _SCALE) -> TaskModel:
    """Tensor-train FacT beside every linear layer."""
    return _fact(backbone, classes, seed, rank=rank, scale=scale, tucker=False)


def fact_tk(backbone: Backbone, classes: int, seed: int, *, rank: int = 32, scale: float = _SCALE) -> TaskModel:
    """Tucker FacT beside every linear layer."""
    return _fact(backbone, classes, seed, rank=rank, scale=scale, tucker=True)


def _fact(backbone: Backbone, classes: int, seed: int, *, rank: int, scale: float, tucker: bool) -> TaskModel:
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    sites = model.backbone.sites
    layers = [(site, name, _groups(site, name)) for site in sites for name in linears_of(site.branch)]
    factors = {dim: Factors(dim, rank, generator) for dim in dict.fromkeys(site.dim for site in sites)}
    slices = sum(max(groups) for *_, groups in layers)
    shared = Tucker(slices, rank, generator) if tucker else None
    first = 0
    for site, name, groups in layers:
        core = MixedCore(shared, groups, first) if shared else DenseCore(groups, rank, generator)
        path = FactPath(factors[site.dim], core, groups, scale)
        setattr(site.branch, name, Beside(getattr(site.branch, name), path))
        first += max(groups)
    return model


def _groups(site: SubLayer, name: str) -> tuple[int, int]:
    """The layer's input and output channels as multiples of M.

    Raises:
        UnsupportedBackbone: it does not.
    """
    base: nn.Linear = getattr(site.branch, name)
    if base.in_features % site.dim or base.out_features % site.dim:
        raise UnsupportedBackbone(f"FacT needs layers of whole multiples of {site.dim} channels, not {base}")
    return base.in_features // site.dim, base.out_features // site.dim
