"""A backbone with the head and the adapters of one task. Nothing else trains."""

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from backbone import Backbone
from training.adapter import PLAIN, Adapter, drop_path
from training.frozen import FrozenBackbone
from training.options import AdapterRecipe, Precision
from training.prefix import START, Cut


@runtime_checkable
class Noisy(Protocol):
    """A module that draws random numbers while it trains, all of them from `noise`."""

    noise: torch.Generator | None


class TaskModel(nn.Module):
    """Backbone and linear head; all parameters of the backbone that are not frozen train too.

    On a backbone where everything is frozen it is the linear probe.

    Attributes:
        frozen: the backbone with its precision and its backend.
        backbone: of `frozen`; its forward calls `adapt` behind every branch.
        head: linear (F -> K), drawn as PyTorch's default is, but from the given generator.
        drop_path: stochastic depth of the last branch, growing linearly from the first; only while training.
        noise: generator of stochastic depth; see `draw_from`.
    """

    def __init__(self, backbone: Backbone | FrozenBackbone, classes: int, generator: torch.Generator) -> None:
        """A head of `classes` outputs on `backbone`."""
        super().__init__()
        self.frozen = backbone if isinstance(backbone, FrozenBackbone) else FrozenBackbone(backbone, backbone)
        self.backbone = self.frozen.backbone
        self.drop_path = 0.0
        self.noise: torch.Generator | None = None
        with torch.random.fork_rng([]):  # the global generator keeps its state
            self.head = nn.Linear(self.backbone.feature_dim, classes)
        bound = self.backbone.feature_dim**-0.5
        for parameter in self.head.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @property
    def precision(self) -> Precision:
        """In which the products with frozen weights are computed."""
        return self.frozen.precision

    @property
    def first_site(self) -> int:
        """The first site whose output depends on a trained parameter; all sites before it are a fixed prefix.

        0 also if the stem trains: then not even the embedding is fixed.
        """
        if _trains(self.backbone.stem):
            return 0
        trained = (site.index for site in self.backbone.sites if _trains(site))
        return next(trained, len(self.backbone.sites))

    @property
    def cut(self) -> Cut:
        """The end of the prefix that does not depend on any trained parameter."""
        first, sites = self.first_site, self.backbone.sites
        return Cut(first, first < len(sites) and not _trains(sites[first])) if first else START

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters beside the head, by name."""
        return {name: parameter for name, parameter in self.backbone.named_parameters() if parameter.requires_grad}

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Everything that trains."""
        return self.own_parameters() | {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def parameter_counts(self) -> tuple[int, int]:
        """Trained parameters beside the head, and of the head."""
        own = sum(parameter.numel() for parameter in self.own_parameters().values())
        return own, self.head.weight.numel() + self.head.bias.numel()

    def adapt(self, site: int, h: Tensor) -> Tensor:
        """The adapted branch output in the place of `h` (..., M) at `site`."""
        del site
        return h

    def draw_from(self, noise: torch.Generator) -> None:
        """Let stochastic depth, and every part that draws while it trains, draw from `noise`."""
        for module in self.modules():
            if isinstance(module, Noisy):
                module.noise = noise

    def penalty(self) -> Tensor | float:
        """A scalar that the loss adds to the cross-entropy."""
        return 0.0

    def after_step(self, step: int, total: int) -> None:
        """Called behind optimiser step `step` (from 0) of the `total` of a cycle, while gradients are at hand."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of normalised images (B, 3, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """The features (B, F) that the head reads, of normalised images (B, 3, H, W)."""
        features: Tensor = self.backbone(images, self._branch)
        return features

    def inferred(self, images: Tensor) -> Tensor:
        """As `features`, where nobody asks for gradients."""
        return self.features(images)

    def forward_from(self, x: Tensor, cut: Cut) -> Tensor:
        """Logits (B, K) of the output at `cut`, as `training.prefix.advanced` gives it; not of pixels."""
        start = cut.site
        if cut.branch:
            stream, h = x.unbind(1)
            x, start = stream + self._branch(start, h), start + 1
        logits: Tensor = self.head(self.backbone.pool(self.backbone.advance(x, start, None, self._branch)))
        return logits

    def _branch(self, site: int, h: Tensor) -> Tensor:
        h = self.adapt(site, h)
        rate = self.drop_path * site / max(1, len(self.backbone.sites) - 1) if self.training else 0.0
        return drop_path(h, rate, self.noise) if rate else h


class AdaptedModel(TaskModel):
    """Series adapters at the live sites: MiMi's model, and that of vanilla adapters."""

    def __init__(
        self,
        backbone: Backbone | FrozenBackbone,
        widths: Sequence[int],
        classes: int,
        *,
        recipe: AdapterRecipe = PLAIN,
        seed: int = 0,
    ) -> None:
        """Adapters of `widths[i]` neurons at site i (none where 0) and a head of `classes` outputs."""
        generator = torch.Generator().manual_seed(seed)
        super().__init__(backbone, classes, generator)
        self.adapters = nn.ModuleDict(
            {
                str(site.index): Adapter(width, site.dim, recipe=recipe, generator=generator)
                for site, width in zip(self.backbone.sites, widths, strict=True)
                if width
            }
        )

    def adapter(self, site: int) -> Adapter | None:
        """The adapter at `site`, None if it is removed."""
        key = str(site)
        return cast(Adapter, self.adapters[key]) if key in self.adapters else None

    @property
    def live(self) -> dict[int, Adapter]:
        """Adapters of the live sites, from the input to the output."""
        found = ((site.index, self.adapter(site.index)) for site in self.backbone.sites)
        return {index: adapter for index, adapter in found if adapter is not None}

    @property
    def widths(self) -> tuple[int, ...]:
        """N_i for all sites, 0 if removed."""
        live = self.live
        return tuple(live[site.index].width if site.index in live else 0 for site in self.backbone.sites)

    @property
    def first_site(self) -> int:
        """The first live site."""
        return next(iter(self.live), len(self.backbone.sites))

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """All adapters: matrices under the names a task adapter file uses, and scales, which a file does not have."""
        named: dict[str, nn.Parameter] = {}
        for index, adapter in self.live.items():
            named[f"sites.{index}.down"], named[f"sites.{index}.up"] = adapter.down, adapter.up
            if adapter.scale is not None:
                named[f"sites.{index}.scale"] = adapter.scale
        return named

    def folded(self) -> "AdaptedModel":
        """A copy in plain adapters, with the logits this model has when it evaluates: what a file holds."""
        plain = AdaptedModel(self.frozen, self.widths, self.head.out_features).to(self.head.weight.device)
        plain.head.load_state_dict(self.head.state_dict())
        for index, adapter in self.live.items():
            for kept, value in zip(plain.live[index].matrices, adapter.weights, strict=True):
                kept.data = value.detach().clone()
        return plain

    def inferred(self, images: Tensor) -> Tensor:
        """As `features`; on a CPU the kernels of serving compute them, several times as fast."""
        if images.device.type != "cpu" or self.frozen.casts:
            return self.features(images)
        backend, rows = self.frozen.bare, slice(0, len(images))
        live = {site: [(adapter.weights, rows)] for site, adapter in self.live.items()}
        return self.backbone.pool(backend.advance(backend.embed(images), 0, len(self.backbone.sites), live))

    def adapt(self, site: int, h: Tensor) -> Tensor:
        """Equation 1 at a live site, the identity elsewhere."""
        adapter = self.adapter(site)
        return adapter(h) if adapter else h


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
