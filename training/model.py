"""A backbone with the adapters and the head of one task: the only parameters that train."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from backbone import Backbone, SiteWeights, adapt
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
    """One matrix: truncated normal of std 0.02, or PyTorch's default for a linear layer."""
    matrix = torch.empty(rows, columns)
    if init == "linear":
        bound = columns**-0.5
        return nn.init.uniform_(matrix, -bound, bound, generator=generator)
    return nn.init.trunc_normal_(matrix, std=0.02, generator=generator)


class AdaptedModel(nn.Module):
    """Frozen backbone, adapters at the live sites, linear head."""

    def __init__(
        self, backbone: Backbone, widths: Sequence[int], classes: int, *, init: Init = "trunc_normal", seed: int = 0
    ) -> None:
        """Adapters of `widths[i]` neurons at site i (none where 0) and a head of `classes` outputs."""
        super().__init__()
        self.backbone = backbone
        self.noise: torch.Generator | None = None  # of stochastic depth; set by the training loop
        self.drop_path = 0.0
        generator = torch.Generator().manual_seed(seed)
        self.adapters = nn.ModuleDict(
            {
                str(site.index): Adapter(width, site.dim, init=init, generator=generator)
                for site, width in zip(backbone.sites, widths, strict=True)
                if width
            }
        )
        self.head = nn.utils.skip_init(nn.Linear, backbone.feature_dim, classes)  # no draw from the global generator
        bound = backbone.feature_dim**-0.5
        for parameter in self.head.parameters():  # PyTorch's default, from our generator
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def adapter(self, site: int) -> Adapter | None:
        """The adapter at `site`, None where it is removed."""
        key = str(site)
        return cast(Adapter, self.adapters[key]) if key in self.adapters else None

    @property
    def live(self) -> dict[int, Adapter]:
        """Adapters of the live sites, from the input to the output."""
        found = ((site.index, self.adapter(site.index)) for site in self.backbone.sites)
        return {index: adapter for index, adapter in found if adapter is not None}

    @property
    def widths(self) -> tuple[int, ...]:
        """N_i for all sites, 0 where removed."""
        live = self.live
        return tuple(live[site.index].width if site.index in live else 0 for site in self.backbone.sites)

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Everything that trains, under the names a task adapter file uses."""
        named: dict[str, nn.Parameter] = {}
        for index, adapter in self.live.items():
            named[f"sites.{index}.down"], named[f"sites.{index}.up"] = adapter.down, adapter.up
        return {**named, "head.weight": self.head.weight, "head.bias": self.head.bias}

    def parameter_counts(self) -> tuple[int, int]:
        """Parameters of all adapters, and of the head."""
        head = self.head.weight.numel() + self.head.bias.numel()
        return sum(parameter.numel() for parameter in self.task_parameters().values()) - head, head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of normalised images (B, 3, H, W)."""
        logits: Tensor = self.head(self.backbone(images, self._adapt))
        return logits

    def _adapt(self, index: int, h: Tensor) -> Tensor:
        adapter = self.adapter(index)
        h = adapter(h) if adapter else h
        rate = self.drop_path * index / max(1, len(self.backbone.sites) - 1) if self.training else 0.0
        return _drop_path(h, rate, self.noise) if rate else h


def _drop_path(h: Tensor, rate: float, noise: torch.Generator | None) -> Tensor:
    """Stochastic depth: a branch output is dropped for whole images, the others are scaled up."""
    keep = torch.rand((len(h),) + (1,) * (h.ndim - 1), generator=noise, device=h.device) >= rate
    return h * keep / (1 - rate)
