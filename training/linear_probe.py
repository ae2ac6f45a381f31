"""The linear probe: a head on frozen features.

The problem is convex, so it is solved to convergence instead of being trained for some epochs. Its penalty is chosen on
validation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone
from training.fit import evaluate
from training.loss import multilabel_loss
from training.model import AdaptedModel
from training.pixels import PixelSet
from training.prepare import Prepared

UNCHOSEN = 1e-3  # the penalty where all images are trained on
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)  # of the squared weights, for the linear probe


def train_linear_probe(prepared: Prepared, backbone: Backbone) -> tuple[AdaptedModel, float, float]:
    """A head on frozen features: the model, its validation top-1, and the penalty that was chosen.

    L-BFGS on standardised features; mean and scale are then folded into the head.
    """
    model = AdaptedModel(backbone, [0] * len(backbone.sites), len(prepared.labels))
    model.to(next(backbone.parameters()).device)
    features = _features(model, prepared.train)
    mean, scale = features.mean(0), features.std(0) + 1e-6
    standard, targets = (features - mean) / scale, prepared.train.targets.to(features.device)
    best = (-1.0, 0.0, torch.empty(0), torch.empty(0))
    for penalty in PENALTIES if len(prepared.validation) else (UNCHOSEN,):
        weight, bias = solve(standard, targets, len(prepared.labels), penalty)
        _fold(model.head, weight / scale, bias - weight / scale @ mean)
        validation = evaluate(model, prepared.validation)
        if not len(prepared.validation) or validation > best[0]:
            best = (validation, penalty, weight, bias)
    validation, penalty, weight, bias = best
    _fold(model.head, weight / scale, bias - weight / scale @ mean)
    return model, validation, penalty


def solve(features: Tensor, targets: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression, or one logistic regression for each label: weight (K, F) and bias (K)."""
    weight = torch.zeros(classes, features.shape[1], device=features.device, requires_grad=True)
    bias = torch.zeros(classes, device=features.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = functional.linear(features, weight, bias)
        value = multilabel_loss(logits, targets) if targets.ndim > 1 else functional.cross_entropy(logits, targets)
        value = value + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()


def _fold(head: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    head.weight.data, head.bias.data = weight.clone(), bias.clone()


@torch.inference_mode()
def _features(model: AdaptedModel, images: PixelSet, batch_size: int = 256) -> Tensor:
    """Pooled features (n, F) without augmentation."""
    device = model.head.weight.device
    normalize = model.backbone.preprocessing.normalize
    batches: Sequence[Tensor] = images.pixels.split(batch_size)
    return torch.cat([model.backbone(normalize(pixels.to(device))) for pixels in batches]).clone()
