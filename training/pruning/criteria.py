"""Importance of a single weight, by each criterion: MiMi's |w|, those of its Table 2, and movement, which is ours.

Every criterion gives one number per weight, in the adapters' own shapes. `training.pruning.scores` sums them over a
neuron, and `training.pruning.unstructured` ranks them one by one. Criteria that look at data see training images
without augmentation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from backbone import SiteWeights
from training.fit import logits_of
from training.frozen import autocast
from training.loss import loss_of
from training.model import AdaptedModel
from training.options import Criterion, FitOptions
from training.pixels import PixelSet

Importance = dict[int, SiteWeights]

GRASP_TEMPERATURE = 200.0  # of the logits, as in GraSP's released code


@dataclass(frozen=True, slots=True)
class Evidence:
    """The data and weights that a criterion may use.

    Attributes:
        model: after the cycle.
        initial: the same neurons' weights at initialisation, by site.
        train: training images, for the criteria that look at data.
        fit: batch size, label smoothing and class weights of the loss.
        seed: of the random criterion and of the choice of images.
        gradients: of the cycle, summed by `add_gradients`; empty before any training.
        images: most training images to use. The mean gradient uses all of them.
    """

    model: AdaptedModel
    initial: Mapping[int, SiteWeights]
    train: PixelSet
    fit: FitOptions
    seed: int
    gradients: Mapping[int, SiteWeights] = field(default_factory=dict)
    images: int = 1024

    def batches(self, *, everything: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels and targets of some training images, or of all, a batch at a time, drawn by the seed."""
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(self.seed))
        for rows in (order if everything else order[: self.images]).split(self.fit.batch_size):
            yield self.train.pixels[rows], self.train.targets[rows]


def importance_of(criterion: Criterion, evidence: Evidence) -> Importance:
    """Importance of every weight of every adapter, by site; the model is left in evaluation mode."""
    evidence.model.eval()
    return _CRITERIA[criterion](evidence)


def _weights(evidence: Evidence) -> Importance:
    """|w| (MiMi)."""
    return _each(evidence, torch.abs)


def _movement(evidence: Evidence) -> Importance:
    """|w - w0|: the change by training, so that the random initial value does not count. Ours."""
    moved: Importance = {}
    for site, (down, up) in _each(evidence, torch.clone).items():
        start = evidence.initial[site]
        moved[site] = SiteWeights((down - start.down.to(down.device)).abs(), (up - start.up.to(up.device)).abs())
    return moved


def _down(evidence: Evidence) -> Importance:
    """|w| of W_down alone (Table 2, "Local (DW) L1")."""
    return {
        site: SiteWeights(importance.down, torch.zeros_like(importance.up))
        for site, importance in _weights(evidence).items()
    }


def _random(evidence: Evidence) -> Importance:
    generator = torch.Generator().manual_seed(evidence.seed)
    return _each(evidence, lambda w: torch.rand(w.shape, generator=generator))


def _gradient(evidence: Evidence) -> Importance:
    """Sum of |g| over the cycle; before any training its mean over one pass through the training images."""
    return dict(evidence.gradients) or _mean(_gradients(evidence, absolute=True, everything=True))


def _gradient_signed(evidence: Evidence) -> Importance:
    """|Σ g| over the cycle: gradients of opposite sign cancel, as they do in the released code."""
    return _absolute(evidence.gradients or _mean(_gradients(evidence, absolute=False, everything=True)))


def add_gradients(sums: Importance, model: AdaptedModel, criterion: Criterion, *, last: bool) -> None:
    """Add the gradients of a step to the sums of its cycle; nothing for criteria that do not ask for them.

    Args:
        sums: by site; empty at first.
        model: with the gradients that the step used.
        criterion: "gradient" adds |g| of every step, "gradient_signed" adds g of the last step of an epoch, as the
            released code does.
        last: whether the step was the last of its epoch.
    """
    if criterion != "gradient" and not (criterion == "gradient_signed" and last):
        return
    for site, adapter in model.live.items():
        found = [torch.zeros_like(w) if w.grad is None else w.grad.detach() for w in adapter.matrices]
        down, up = (g.abs() if criterion == "gradient" else g.clone() for g in found)
        known = sums.get(site)
        sums[site] = SiteWeights(known.down + down, known.up + up) if known else SiteWeights(down, up)


def _snip(evidence: Evidence) -> Importance:
    """|g · w| on one batch (SNIP, Lee et al. 2019, equation 4; its normalisation does not change the ranking)."""
    gradients = next(_gradients(evidence, absolute=False))
    return _times_weights(evidence.model, _absolute(gradients), torch.abs)


def _grasp(evidence: Evidence) -> Importance:
    """θ · Hg on one batch (GraSP, Wang et al. 2020, equation 8): the weights of the lowest value go."""
    model, (pixels, targets) = evidence.model, next(evidence.batches())
    parameters = _matrices(model)
    with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
        loss = _loss(evidence, pixels, targets, temperature=GRASP_TEMPERATURE)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        along = torch.stack([(g * g.detach()).sum() for g in gradients]).sum()
        curvature = torch.autograd.grad(along, parameters)
    return _times_weights(model, _by_site(model, curvature), torch.clone)


def _activation(evidence: Evidence) -> Importance:
    """Mean of |GELU(W_down h)| over images and tokens (Table 2, "Global L1(a)").

    This is a property of neurons, not of weights. It is stored in the first column of `down`, so that the sum over a
    neuron's weights gives it.
    """
    importance = _each(evidence, torch.zeros_like)
    batches = list(evidence.batches())
    images = sum(len(targets) for _, targets in batches)
    for pixels, targets in batches:
        for site, value in _hidden(evidence.model, pixels).items():
            importance[site].down[:, 0] += value * (len(targets) / images)
    return importance


_CRITERIA: dict[Criterion, Callable[[Evidence], Importance]] = {
    "weights": _weights,
    "movement": _movement,
    "down": _down,
    "gradient": _gradient,
    "gradient_signed": _gradient_signed,
    "activation": _activation,
    "snip": _snip,
    "grasp": _grasp,
    "random": _random,
}


@torch.no_grad()
def _hidden(model: AdaptedModel, pixels: Tensor) -> dict[int, Tensor]:
    """Mean |GELU(W_down h)| (N,) over one batch, by site."""
    found: dict[int, Tensor] = {}

    def adapt(site: int, h: Tensor) -> Tensor:
        if (adapter := model.adapter(site)) is not None:
            found[site] = functional.gelu(functional.linear(h, adapter.down)).abs().flatten(0, -2).float().mean(0)
        return model.adapt(site, h)

    device = model.head.weight.device
    with autocast(device, model.precision):
        model.backbone(model.backbone.preprocessing.normalize(pixels.to(device)), adapt)
    return found


def _gradients(evidence: Evidence, *, absolute: bool, everything: bool = False) -> Iterator[Importance]:
    """Gradient of every adapter weight on each mini-batch."""
    parameters = _matrices(evidence.model)
    for pixels, targets in evidence.batches(everything=everything):
        gradients = torch.autograd.grad(_loss(evidence, pixels, targets), parameters)
        yield _by_site(evidence.model, [g.abs() for g in gradients] if absolute else gradients)


def _loss(evidence: Evidence, pixels: Tensor, targets: Tensor, *, temperature: float = 1.0) -> Tensor:
    logits = logits_of(evidence.model, pixels) / temperature
    loss = loss_of(evidence.fit, evidence.train.targets.to(logits.device), logits.shape[1])
    return loss(logits, targets.to(logits.device))


def _each(evidence: Evidence, measure: Callable[[Tensor], Tensor]) -> Importance:
    """`measure` each weight matrix."""
    live = evidence.model.live.items()
    return {site: SiteWeights(*(measure(weight.detach()) for weight in adapter.weights)) for site, adapter in live}


def _matrices(model: AdaptedModel) -> list[nn.Parameter]:
    """Both matrices of every adapter: gradients are taken of them."""
    return [matrix for adapter in model.live.values() for matrix in (adapter.down, adapter.up)]


def _by_site(model: AdaptedModel, tensors: Sequence[Tensor]) -> Importance:
    """Tensors in the order of the adapters' parameters."""
    return dict(zip(model.live, map(SiteWeights, tensors[::2], tensors[1::2]), strict=True))


def _mean(parts: Iterable[Importance]) -> Importance:
    """The mean over mini-batches, one of which is in memory at a time."""
    total: Importance = {}
    count = 0
    for part in parts:
        count += 1
        for site, (down, up) in part.items():
            known = total.get(site, SiteWeights(torch.zeros_like(down), torch.zeros_like(up)))
            total[site] = SiteWeights(known.down + down, known.up + up)
    return {site: SiteWeights(down / count, up / count) for site, (down, up) in total.items()}


def _absolute(importance: Mapping[int, SiteWeights]) -> Importance:
    return {site: SiteWeights(down.abs(), up.abs()) for site, (down, up) in importance.items()}


def _times_weights(model: AdaptedModel, importance: Importance, of: Callable[[Tensor], Tensor]) -> Importance:
    """Each importance times `of` its weight."""
    weights = {site: adapter.matrices for site, adapter in model.live.items()}
    return {
        site: SiteWeights(down * of(weights[site].down.detach()), up * of(weights[site].up.detach()))
        for site, (down, up) in importance.items()
    }
