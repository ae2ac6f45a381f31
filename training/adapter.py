"""The bottleneck at one site, as it trains."""

import torch
from torch import Tensor, nn

from backbone import SiteWeights, adapt
from training.options import Init


class Adapter(nn.Module):
    """Bottleneck at one site: h + W_up · GELU(W_down · h), MiMi's equation 1."""

    def __init__(self, width: int, dim: int, *, init: Init, generator: torch.Generator) -> None:
        """`width` neurons over `dim` channels, drawn from `generator`."""
        super().__init__()
        self.down = nn.Parameter(_draw(width, dim, init=init, generator=generator))  # (N, M)
        self.up = nn.Parameter(_draw(dim, width, init=init, generator=generator))  # (M, N)
        if init == "zero_up":
            nn.init.zeros_(self.up)

    @property
    def weights(self) -> SiteWeights:
        """Both matrices."""
        return SiteWeights(self.down, self.up)

    @property
    def width(self) -> int:
        """Neurons N."""
        return self.down.shape[0]

    def forward(self, h: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        return adapt(h, self.weights)


def _draw(rows: int, columns: int, *, init: Init, generator: torch.Generator) -> Tensor:
    """One matrix: truncated normal, or PyTorch's default for a linear layer."""
    matrix = torch.empty(rows, columns)
    if init == "linear":
        bound = columns**-0.5
        return nn.init.uniform_(matrix, -bound, bound, generator=generator)
    std = 0.002 if init == "small" else 0.02
    return nn.init.trunc_normal_(matrix, std=std, generator=generator)
