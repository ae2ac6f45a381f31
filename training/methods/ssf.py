"""SSF (Lian et al. 2022, arXiv 2210.08823): gamma · y + beta behind every convolution, norm and linear layer.

Layers are those of the authors' code: the patch embedding's convolution and norm, the final norm, and the norm of patch
merging without its reduction; in a block, both norms and all four linear layers. The copy released with MiMi does not
use the values behind qkv and the second norm, and scales before the final norm. This file does not repeat that.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from backbone import Backbone
from training.methods.parts import Around, fork
from training.model import TaskModel

_NOT_SCALED = "reduction"  # of patch merging


class ScaleShift(Around):
    """gamma · base(x) + beta over the channels of the output: the last axis, or axis 1 behind a convolution."""

    def __init__(self, base: nn.Module, generator: torch.Generator) -> None:
        """Gamma from N(1, 0.02), beta from N(0, 0.02), one of each per channel of `base`."""
        super().__init__(base)
        channels = len(self.weight)  # out channels for linear layers and convolutions, channels for norms
        self.gamma = nn.Parameter(nn.init.normal_(torch.empty(channels), 1.0, 0.02, generator=generator))
        self.beta = nn.Parameter(nn.init.normal_(torch.empty(channels), 0.0, 0.02, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """As `base`."""
        y: Tensor = self.base(x)
        shape = (-1, 1, 1) if isinstance(self.base, nn.Conv2d) else (-1,)
        return y * self.gamma.view(shape) + self.beta.view(shape)

    def merged(self) -> nn.Module:
        """`base` with gamma and beta in its weight and bias."""
        plain, bias = deepcopy(self.base), self.base.bias
        gamma = self.gamma.detach().view(-1, *[1] * (self.weight.ndim - 1))  # channels of the output come first
        plain.weight = nn.Parameter(self.weight * gamma)
        shift = self.beta.detach()
        plain.bias = nn.Parameter(shift + bias * self.gamma.detach() if isinstance(bias, Tensor) else shift.clone())
        return plain


def ssf(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """Scale and shift behind every layer that the paper names."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    _scale(model.backbone, generator)
    return model


def _scale(module: nn.Module, generator: torch.Generator) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d | nn.LayerNorm | nn.Linear):
            if name != _NOT_SCALED:
                setattr(module, name, ScaleShift(child, generator))
        else:
            _scale(child, generator)
