"""The building blocks of methods: a fork of the frozen network, and ways to put a part around one of its modules.

Nothing here knows any method.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from timm.layers import PatchEmbed as TimmPatchEmbed
from torch import Tensor, nn

from backbone import Backbone
from backbone.errors import UnsupportedBackbone
from backbone.layers import Branch, GlobalAttention, Mlp, WindowAttention
from backbone.swin_model import PatchEmbed


def fork(backbone: Backbone, trained: Callable[[str], bool] | None = None) -> Backbone:
    """A new copy of the module structure of `backbone` that shares its frozen tensors.

    Modules of the copy may be replaced and parameters added without an effect on `backbone`.

    Args:
        backbone: stays as it is.
        trained: names the parameters that become copies of their own and train.
    """
    memo: dict[int, object] = {id(buffer): buffer for buffer in backbone.buffers()}
    for name, parameter in backbone.named_parameters():
        own = trained is not None and trained(name)
        memo[id(parameter)] = nn.Parameter(parameter.detach().clone()) if own else parameter
    return deepcopy(backbone, memo)


def linears_of(branch: Branch) -> tuple[str, str]:
    """Names of the two linear layers of a branch.

    Raises:
        UnsupportedBackbone: attention with more than two, such as CvT's.
    """
    if isinstance(branch, Mlp):
        return "fc1", "fc2"
    if isinstance(branch, WindowAttention | GlobalAttention):
        return "qkv", "proj"
    raise UnsupportedBackbone(f"the method needs one layer for queries, keys and values: {type(branch).__name__}")


def grid_of(backbone: Backbone) -> tuple[int, int]:
    """Rows and columns of patches behind the stem.

    Raises:
        UnsupportedBackbone: a stem that is not a plain patch embedding, such as CvT's.
    """
    patch = getattr(backbone.stem, "patch", None)
    if not isinstance(patch, PatchEmbed | TimmPatchEmbed):
        raise UnsupportedBackbone(f"the method needs a plain patch embedding, not {type(backbone.stem).__name__}")
    rows, columns = patch.grid_size
    return rows, columns


class Around(nn.Module):
    """A part that wraps the frozen `base` and replaces it; `weight` and `in_features` stay readable."""

    base: nn.Module

    def __init__(self, base: nn.Module) -> None:
        """Stand in for `base`."""
        super().__init__()
        self.base = base

    @property
    def weight(self) -> Tensor:
        """The frozen weight."""
        weight: Tensor = self.base.weight  # type: ignore[assignment]
        return weight

    @property
    def in_features(self) -> int:
        """Channels that come in."""
        return int(self.base.in_features)  # type: ignore[arg-type]

    def merged(self) -> nn.Module:
        """One plain module that computes the same.

        Raises:
            ValueError: no plain module can.
        """
        raise ValueError(f"{type(self).__name__} cannot be merged into the frozen network")


class AroundLinear(Around):
    """A part around a linear layer whose result is still affine, so that one linear layer can replace it."""

    def merged(self) -> nn.Linear:
        """The linear layer with equal outputs, read off where the map sends 0 and the unit vectors."""
        exact = deepcopy(self).double().eval()  # float64: the differences below would lose digits in float32
        device = self.weight.device
        with torch.no_grad():
            bias = exact(torch.zeros(self.in_features, dtype=torch.float64, device=device))
            weight = (exact(torch.eye(self.in_features, dtype=torch.float64, device=device)) - bias).T
        plain: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], device=device)
        plain.load_state_dict({"weight": weight, "bias": bias})
        return plain


class Beside(AroundLinear):
    """base(x) + the sum of linear paths: (..., in) -> (..., out)."""

    def __init__(self, base: nn.Module, *paths: nn.Module) -> None:
        """Linear `paths` (..., in) -> (..., out) around the linear layer `base`."""
        super().__init__(base)
        self.paths = nn.ModuleList(paths)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.base(x)
        for path in self.paths:
            out = out + path(x)
        return out


class Before(AroundLinear):
    """base(path(x)): (..., in) -> (..., out)."""

    def __init__(self, base: nn.Module, path: nn.Module) -> None:
        """An affine `path` (..., in) -> (..., in) in front of the linear layer `base`."""
        super().__init__(base)
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.base(self.path(x))
        return out


class AroundBranch(Branch):
    """A part around a whole branch. No plain branch can replace it.

    `flops` are those of the frozen branch alone; training.methods.serving measures a model with everything in it.
    """

    def __init__(self, branch: Branch) -> None:
        """Stand in for `branch`."""
        super().__init__()
        self.branch = branch

    def flops(self, tokens: int) -> int:
        """FLOPs of the frozen branch for one image of `tokens` tokens."""
        return self.branch.flops(tokens)


class Series(AroundBranch):
    """adapter(branch(x)): (..., M) -> (..., M)."""

    def __init__(self, branch: Branch, adapter: nn.Module) -> None:
        """`adapter` (..., M) -> (..., M) behind `branch`."""
        super().__init__(branch)
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        out: Tensor = self.adapter(self.branch(x))
        return out


class Parallel(AroundBranch):
    """branch(x) + bypass(read(x)): (..., M) -> (..., M)."""

    def __init__(self, branch: Branch, bypass: nn.Module, *, read: nn.Module | None = None) -> None:
        """`bypass` (..., M) -> (..., M) beside `branch`, on the residual stream, or on the output of `read`."""
        super().__init__(branch)
        self.bypass, self.read = bypass, read or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        out: Tensor = self.branch(x) + self.bypass(self.read(x))
        return out
