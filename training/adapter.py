"""The bottleneck at one site, as it trains.

The recipe of Adapter+ (Steitz and Roth, CVPR 2024, arXiv 2406.06820) adds three things to MiMi's block: a small
initialisation (that of Houlsby et al. 2019), a learned scale of every channel, and stochastic depth on the adapter.
None of them is left in a task adapter file. The scale is folded into W_up, and the others only act in training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import SiteWeights, adapt
from training.options import AdapterRecipe, Init

PLAIN = AdapterRecipe()
_DEVIATIONS = {"small": 0.002, "houlsby": 0.01}  # of a truncated normal; 0.02 elsewhere


class Adapter(nn.Module):
    """Bottleneck at one site: h + W_up · GELU(W_down · h), MiMi's equation 1.

    Attributes:
        scale: factor of every channel behind W_up (M), or None.
        noise: generator of stochastic depth; see `TaskModel.draw_from`.
    """

    scale: nn.Parameter | None

    def __init__(self, width: int, dim: int, *, generator: torch.Generator, recipe: AdapterRecipe = PLAIN) -> None:
        """`width` neurons over `dim` channels, drawn from `generator`."""
        super().__init__()
        self.down = nn.Parameter(_draw(width, dim, init=recipe.init, generator=generator))  # (N, M)
        self.up = nn.Parameter(_draw(dim, width, init=recipe.init, generator=generator))  # (M, N)
        if recipe.init == "zero_up":
            nn.init.zeros_(self.up)
        self.register_parameter("scale", nn.Parameter(torch.ones(dim)) if recipe.scaled else None)
        self.drop = recipe.adapter_drop
        self.noise: torch.Generator | None = None

    @property
    def weights(self) -> SiteWeights:
        """Both matrices as they act, with the scale folded into W_up."""
        return SiteWeights(self.down, self.up if self.scale is None else self.scale[:, None] * self.up)

    @property
    def matrices(self) -> SiteWeights:
        """Both matrices as they train: parameters that have gradients."""
        return SiteWeights(self.down, self.up)

    @property
    def width(self) -> int:
        """Neurons N."""
        return self.down.shape[0]

    def forward(self, h: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        weights = self.weights
        if not (self.training and self.drop):
            return adapt(h, weights)
        change = functional.linear(functional.gelu(functional.linear(h, weights.down)), weights.up)
        return h + drop_path(change, self.drop, self.noise)


def drop_path(h: Tensor, rate: float, noise: torch.Generator | None) -> Tensor:
    """Stochastic depth: `h` is dropped for whole images, the others are scaled up."""
    keep = torch.rand((len(h),) + (1,) * (h.ndim - 1), generator=noise, device=h.device) >= rate
    return h * keep / (1 - rate)


def _draw(rows: int, columns: int, *, init: Init, generator: torch.Generator) -> Tensor:
    """One matrix: truncated normal, or PyTorch's default for a linear layer."""
    matrix = torch.empty(rows, columns)
    if init == "linear":
        bound = columns**-0.5
        return nn.init.uniform_(matrix, -bound, bound, generator=generator)
    std = _DEVIATIONS.get(init, 0.02)
    # Houlsby et al. cut the normal at two deviations; the paper's code at 2, which is never reached.
    cut = 2 * std if init == "houlsby" else 2.0
    return nn.init.trunc_normal_(matrix, std=std, a=-cut, b=cut, generator=generator)
