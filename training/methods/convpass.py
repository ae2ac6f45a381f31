"""Convpass (Jie and Deng 2022, arXiv 2207.07039): a 3x3 convolution in a bottleneck beside every branch.

out = x + branch(norm(x)) + s · bypass(norm(x)). Tokens are laid out as the image is; a class token is a 1x1 image of
its own. As the authors' code starts it: the convolution at the identity, the up-projection at zero.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from training.methods.draws import Dropout, linear
from training.methods.parts import Parallel, fork, grid_of
from training.model import TaskModel

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
