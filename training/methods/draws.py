"""Layers that draw random numbers: always from a given generator, never from the global one."""

from typing import Literal

import torch
from torch import Tensor, nn

LinearInit = Literal["kaiming", "xavier", "zero"]


class Dropout(nn.Module):
    """Dropout that draws from `noise`, which TaskModel.draw_from sets: a resumed run repeats an epoch exactly."""

    def __init__(self, rate: float) -> None:
        """Zero a share `rate` of all entries while training."""
        super().__init__()
        self.rate = rate
        self.noise: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, kept."""
        if not self.training:
            return x
        keep = torch.rand(x.shape, generator=self.noise, device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


def linear(size: tuple[int, int], init: LinearInit, generator: torch.Generator) -> nn.Linear:
    """A linear layer of `size` (in, out) with bias 0; "kaiming" is uniform with a = sqrt(5), as PyTorch's own."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, *size)  # no draw from the global generator
    nn.init.zeros_(layer.bias)
    if init == "zero":
        nn.init.zeros_(layer.weight)
    elif init == "kaiming":
        nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
    else:
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    return layer
