"""Low-rank changes of frozen linear layers: LoRA, and AdaLoRA, which spreads one budget of ranks over all of them.

LoRA (Hu et al. 2022, arXiv 2106.09685, section 4.1): W + (alpha / r) · B A beside frozen layers, B zero at first. On
the fused qkv layer the paper's choice "queries and values" is two paths, each into its own third of the rows.

AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): beside each layer is dW = P diag(lambda) Q; queries, keys and values
are three layers. Directions (triplets of a column of P, an entry of lambda and a row of Q) compete over the whole
network. Every few steps, those with the smallest smoothed sensitivity times uncertainty lose their lambda, down a
cubic schedule. A penalty keeps P and Q orthogonal: the paper sums squared norms, the authors' code takes the mean of
plain ones, and so does this. It is the method closest to MiMi in spirit whose result still merges.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from backbone.layers import Mlp
from training.methods.parts import Beside, fork, linears_of
from training.model import TaskModel


class LowRank(nn.Module):
    """x -> scale · B A x, into rows start … start + out of `total`: (..., in) -> (..., total)."""

    def __init__(self, down: Tensor, up: Tensor, *, scale: float, rows: tuple[int, int]) -> None:
        """`down` A (r, in), `up` B (out, r); `rows` is (start, total)."""
        super().__init__()
        self.down, self.up, self.scale = nn.Parameter(down), nn.Parameter(up), scale
        start, total = rows
        self.padding = (start, total - start - len(up))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., total)."""
        out = functional.linear(functional.linear(x, self.down), self.up) * self.scale
        return functional.pad(out, self.padding)


def queries_values(backbone: Backbone, classes: int, seed: int, *, rank: int = 8, alpha: float = 16) -> TaskModel:
    """Rank `rank` beside the queries and beside the values of every attention branch."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        if isinstance(site.branch, Mlp):
            continue
        size, scale = (site.dim, site.dim, rank), alpha / rank
        paths = [_path(size, scale, (start, 3 * site.dim), generator) for start in (0, 2 * site.dim)]
        name = linears_of(site.branch)[0]
        setattr(site.branch, name, Beside(_linear(site.branch, name), *paths))
    return model


def all_linears(backbone: Backbone, classes: int, seed: int, *, rank: int = 2, alpha: float = 4) -> TaskModel:
    """Rank `rank` beside qkv (as one layer), proj, fc1 and fc2."""
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    for site in model.backbone.sites:
        for name in linears_of(site.branch):
            base = _linear(site.branch, name)
            size, rows = (base.in_features, base.out_features, rank), (0, base.out_features)
            setattr(site.branch, name, Beside(base, _path(size, alpha / rank, rows, generator)))
    return model


def _linear(branch: nn.Module, name: str) -> nn.Linear:
    layer: nn.Linear = getattr(branch, name)
    return layer


def _path(size: tuple[int, int, int], scale: float, rows: tuple[int, int], generator: torch.Generator) -> LowRank:
    """A path of `size` (in, out, rank)."""
    inputs, outputs, rank = size
    down = nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=5**0.5, generator=generator)
    return LowRank(down, torch.zeros(outputs, rank), scale=scale, rows=rows)


_ORTHOGONALITY = 0.1  # weight of the penalty
_SMOOTHING = 0.85  # beta_1 = beta_2, of sensitivity and of uncertainty
_WARMUP, _FINAL = 0.1, 0.5  # of a cycle's steps, before the budget falls and after; the paper sets them per task
_EVERY = 10  # steps between two choices of triplets; the paper sets it per task
_START = 1.5  # first budget, in targets


class Triplets(nn.Module):
    """x -> P diag(lambda) Q x, into rows start … start + out of `total`; zero at first, because lambda is."""

    def __init__(
        self, size: tuple[int, int], rank: int, generator: torch.Generator, *, rows: tuple[int, int] | None = None
    ) -> None:
        """`rank` triplets for a layer of `size` (in, out); `rows` is (start, total), left out: the whole layer."""
        super().__init__()
        start, total = rows or (0, size[1])
        self.padding = (start, total - start - size[1])
        self.p = nn.Parameter(nn.init.normal_(torch.empty(size[1], rank), std=0.02, generator=generator))
        self.values = nn.Parameter(torch.zeros(rank))
        self.q = nn.Parameter(nn.init.normal_(torch.empty(rank, size[0]), std=0.02, generator=generator))
        for name, parameter in list(self.named_parameters()):  # smoothed; buffers, so that a checkpoint holds them
            self.register_buffer(f"{name}_sensitivity", torch.zeros_like(parameter))
            self.register_buffer(f"{name}_uncertainty", torch.zeros_like(parameter))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., total)."""
        return functional.pad(functional.linear(functional.linear(x, self.q) * self.values, self.p), self.padding)

    def disorder(self) -> Tensor:
        """The distance of P and Q from orthonormal: the mean of both Frobenius norms."""
        eye = torch.eye(len(self.values), device=self.values.device)
        norms = [torch.linalg.matrix_norm(gram - eye) for gram in (self.p.T @ self.p, self.q @ self.q.T)]
        return torch.stack(norms).mean()

    def observe(self) -> None:
        """Smooth |w · gradient| of every entry, and how far it strays from its mean."""
        for name, parameter in self.named_parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            now = (parameter.detach() * gradient).abs()
            mean = self.get_buffer(f"{name}_sensitivity").lerp_(now, 1 - _SMOOTHING)
            self.get_buffer(f"{name}_uncertainty").lerp_((now - mean).abs(), 1 - _SMOOTHING)

    def importance(self) -> Tensor:
        """Of every triplet (r): that of its lambda plus the means over its column of P and row of Q."""
        return self._score("values") + self._score("p").mean(0) + self._score("q").mean(1)

    def _score(self, name: str) -> Tensor:
        return self.get_buffer(f"{name}_sensitivity") * self.get_buffer(f"{name}_uncertainty")


class AdaLora(TaskModel):
    """Triplets beside every linear layer under one falling budget.

    Attributes:
        start: triplets at first.
        target: triplets that are left in the end.
    """

    left: Tensor

    def __init__(self, backbone: Backbone, classes: int, generator: torch.Generator, *, rank: int) -> None:
        """Put 1.5 x `rank` triplets beside each layer of `backbone`, a fork; `rank` is the mean in the end."""
        super().__init__(backbone, classes, generator)
        first = round(_START * rank)
        self.paths: list[Triplets] = []
        for site in backbone.sites:
            for name in linears_of(site.branch):
                base: nn.Linear = getattr(site.branch, name)
                parts = 3 if name == "qkv" else 1  # queries, keys and values are three layers in one
                out = base.out_features // parts
                size, total = (base.in_features, out), base.out_features
                paths = [Triplets(size, first, generator, rows=(part * out, total)) for part in range(parts)]
                self.paths += paths
                setattr(site.branch, name, Beside(base, *paths))
        self.target, self.start = rank * len(self.paths), first * len(self.paths)
        self.register_buffer("left", torch.tensor(self.start))

    @property
    def budget(self) -> int:
        """Triplets that may act now; over several cycles it never rises again."""
        return int(self.left.item())

    def penalty(self) -> Tensor:
        """The penalty that keeps every P and Q near orthonormal: a scalar."""
        return _ORTHOGONALITY * torch.stack([path.disorder() for path in self.paths]).mean()

    @torch.no_grad()
    def after_step(self, step: int, total: int) -> None:
        """Observe this step's gradients, lower the budget, and every `_EVERY` steps disable the triplets beyond it.

        A disabled triplet still has gradients, so it can be enabled again at the next choice. Once the budget is at its
        target, the choice is final, in later cycles too.
        """
        chosen = self.budget == self.target
        if not chosen:
            for path in self.paths:
                path.observe()
        self.left.fill_(min(self.budget, self.scheduled(step + 1, total)))
        if chosen or self.budget == self.target or (step + 1) % _EVERY == 0:
            self._silence()

    def _silence(self) -> None:
        importance = torch.cat([path.importance() for path in self.paths])
        dead = torch.ones_like(importance, dtype=torch.bool)
        dead[importance.topk(self.budget).indices] = False
        for path, silent in zip(self.paths, dead.split(len(self.paths[0].values)), strict=True):
            path.values.masked_fill_(silent, 0.0)

    def scheduled(self, step: int, total: int) -> int:
        """Budget behind `step` of `total` steps: a cubic from `start` down to `target`."""
        progress = (step - _WARMUP * total) / (total * (1 - _WARMUP - _FINAL))
        remaining = 1 - min(1.0, max(0.0, progress))
        return int(self.target + (self.start - self.target) * remaining**3)


def adalora(backbone: Backbone, classes: int, seed: int, *, rank: int = 2) -> TaskModel:
    """Triplets beside every linear layer, `rank` a layer on average in the end."""
    generator = torch.Generator().manual_seed(seed)
    return AdaLora(fork(backbone), classes, generator, rank=rank)
