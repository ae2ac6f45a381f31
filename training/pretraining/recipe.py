"""One epoch of pretraining: batched augmentation, mixing, erasing, a step, and the average of the weights."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from backbone import Preprocessing
from training.augment import augment
from training.errors import Diverged
from training.fit import Progress, steps_per_epoch
from training.frozen import autocast
from training.pixels import PixelSet
from training.pretraining.options import PretrainOptions
from training.schedule import learning_rate


@dataclass(slots=True)
class Pretraining:
    """The state of a pretraining.

    Attributes:
        model: timm's, with its classifier.
        average: exponential moving average of it.
        optimizer: AdamW.
        options: the recipe.
        preprocessing: of the images.
        classes: K.
    """

    model: SwinTransformer
    average: AveragedModel
    optimizer: torch.optim.AdamW
    options: PretrainOptions
    preprocessing: Preprocessing
    classes: int

    @classmethod
    def begin(
        cls, model_args: dict[str, object], classes: int, options: PretrainOptions, preprocessing: Preprocessing
    ) -> "Pretraining":
        """A new model, drawn by the seed."""
        torch.manual_seed(options.seed)
        model = SwinTransformer(**{**model_args, "num_classes": classes, "drop_path_rate": options.drop_path})
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
        return cls(model, average, optimizer, options, preprocessing, classes)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def epoch(self, train: PixelSet, number: int, on_step: Callable[[Progress], None]) -> Progress:
        """Train for epoch `number` (from 0); accuracy is not counted, since targets are mixed.

        Raises:
            Diverged: the loss is not finite.
        """
        options, fit = self.options, self.options.fit
        generator = _seeded(options.seed * 1_000_003 + number)
        mixing, erasing = self._mixing(), RandomErasing(options.erasing, mode="pixel", device=str(self.device))
        steps, total = steps_per_epoch(len(train), fit), torch.zeros((), device=self.device)
        order = torch.randperm(len(train), generator=generator)[: steps * fit.batch_size]
        self.model.train()
        progress = Progress(0, len(order), 0.0, 0.0, 0.0)
        for step, rows in enumerate(order.split(fit.batch_size)):
            rate = learning_rate(number * steps + step, steps, fit)
            pixels = augment(train.pixels[rows], fit, generator).to(self.device)
            images = erasing(self.preprocessing.normalize(pixels))
            total += self._step(*mixing(images, train.targets[rows].to(self.device)), rate=rate)
            done = (step + 1) * fit.batch_size
            progress = Progress(done, len(order), _finite(total.item() / (step + 1)), 0.0, rate)
            on_step(progress)
        return progress

    def _mixing(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        options, alphas = self.options, (self.options.mixup, self.options.cutmix)
        if not any(alphas):
            return lambda images, targets: (images, functional.one_hot(targets, self.classes).float())
        mixing: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = Mixup(
            *alphas, label_smoothing=options.label_smoothing, num_classes=self.classes
        )
        return mixing

    def _step(self, images: Tensor, targets: Tensor, *, rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with autocast(self.device):
            logits = self.model(images)
        loss = functional.cross_entropy(logits.float(), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, images: PixelSet, *, batch_size: int = 256) -> float:
        """Top-1 accuracy in [0, 1] of the averaged weights."""
        model, right = self.average.module.eval(), 0
        for pixels, targets in zip(images.pixels.split(batch_size), images.targets.split(batch_size), strict=True):
            with autocast(self.device):
                logits = model(self.preprocessing.normalize(pixels.to(self.device)))
            right += int((logits.argmax(1).cpu() == targets.cpu()).sum())
        return right / len(images)


def _finite(loss: float) -> float:
    if not isfinite(loss):
        raise Diverged("the loss is no longer finite: choose a smaller learning rate; the last checkpoint is good")
    return loss


def _seeded(seed: int) -> torch.Generator:
    """A generator for order and augmentation; mixing, erasing and stochastic depth draw from the global ones."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)
