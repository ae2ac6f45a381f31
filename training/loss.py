"""The loss of a batch, and what an unbalanced data set changes: weights in the loss, or which images an epoch shows.

Both ask for the same: a rare class counts as much as a frequent one. Weights are relative to the whole training set:
their mean over its images is 1. So a batch needs no sum of its own, and several processes take the step of one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.data.sets import strata_of
from training.options import FitOptions


@dataclass(frozen=True, slots=True)
class Loss:
    """Mean loss of a batch.

    Attributes:
        smoothing: of the labels.
        weights: of each class (K,); of independent labels (2, K), where an image lacks the label and where it has it;
            None: all are 1.
        independent: whether an image has any number of labels.
    """

    smoothing: float
    weights: Tensor | None = None
    independent: bool = False

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of logits (B, K) and classes (B,), shares of classes (B, K) that are smoothed already, or labels (B, K)."""
        if self.independent:
            return multilabel_loss(logits, targets, self.smoothing, self.weights)
        smoothing = 0.0 if targets.ndim > 1 else self.smoothing
        if self.weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        each = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
        return (each * self._of_images(targets, self.weights)).mean()

    def _of_images(self, targets: Tensor, weights: Tensor) -> Tensor:
        """(B,): the weight of each image's class; of a mixed image the mean of its classes, before smoothing."""
        if targets.ndim == 1:
            return weights[targets]
        return (targets @ weights - self.smoothing * weights.mean()) / (1 - self.smoothing)


def multilabel_loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of independent labels, summed over the labels, so that its scale is that of one question.

    With `smoothing` a target moves so far towards one half. `weights` (2, K) are those of absent and present labels.
    """
    soft = targets.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    if weights is not None:
        each = each * torch.where(targets > 0, weights[1], weights[0])
    return each.sum(1).mean()


def loss_of(fit: FitOptions, targets: Tensor, classes: int) -> Loss:
    """The loss that `fit` asks for on training images with these targets, (n,) or (n, K), on their device."""
    several = targets.ndim > 1
    if fit.balance != "weights":
        return Loss(fit.label_smoothing, None, several)
    if several:
        present = targets.sum(0).double()
        weights = _weights(torch.stack([len(targets) - present, present]), fit.balance_power)
    else:
        weights = _weights(torch.bincount(targets, minlength=classes).double()[:, None], fit.balance_power)[:, 0]
    return Loss(fit.label_smoothing, weights.float(), several)


def order_of(fit: FitOptions, targets: Tensor, generator: torch.Generator) -> Tensor:
    """The images of an epoch (n,), in order: each once, or drawn with replacement so that classes are as frequent.

    An image with several labels is drawn as one of its rarest label.
    """
    if fit.balance != "sampling":
        return torch.randperm(len(targets), generator=generator)
    strata = torch.from_numpy(strata_of(targets.cpu().numpy()))
    weights = _weights(torch.bincount(strata).double()[:, None], fit.balance_power)[:, 0]
    return torch.multinomial(weights[strata], len(targets), replacement=True, generator=generator)


def _weights(counts: Tensor, power: float) -> Tensor:
    """1 / count ** `power`, of each row; over all counted images of a column the mean weight is 1. Nothing counts 1."""
    raw = counts.clamp(min=1) ** -power
    return raw * counts.sum(0) / (raw * counts).sum(0)
