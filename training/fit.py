"""One epoch of training and one evaluation. These inner loops know nothing of pruning or of how cycles end.

An epoch draws its order and its augmentation from a generator that is seeded by (seed, cycle, epoch) alone. So a
resumed run sees the same images as an uninterrupted one, and a checkpoint needs no generator state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite, isnan, nan

import torch
from torch import Tensor, nn

from training.augment import SEEDS, Draws, augment
from training.errors import Diverged
from training.frozen import autocast
from training.loss import Loss, loss_of, order_of
from training.metrics import mean_average_precision
from training.model import TaskModel
from training.options import FitOptions
from training.parallel import ALONE, World
from training.pixels import PixelSet
from training.prefix import START, Cut, PrefixCache, augmented_views
from training.recipe import erased, mixed
from training.schedule import learning_rate


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of an epoch after a step.

    Attributes:
        done: images seen in this epoch.
        total: images of this epoch.
        loss: mean over the images seen.
        accuracy: share of the images seen that were classified rightly, in [0, 1]; of independent labels the share of
            labels that were rightly given or not given.
        rate: learning rate of the step.
    """

    done: int
    total: int
    loss: float
    accuracy: float
    rate: float


OnStep = Callable[[Progress], None]

_RANKS_APART = 2**40  # seeds between two processes: more than all epochs of a run have
_MOMENTUM = 0.9  # of SGD
_READ_EVERY = 16  # steps between two looks at loss and accuracy, where looking is not free


def build_optimizer(model: TaskModel, fit: FitOptions) -> torch.optim.Optimizer:
    """AdamW or SGD over everything that trains; vectors are not decayed."""
    parameters = list(model.task_parameters().values())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": fit.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if fit.update == "sgd":
        return torch.optim.SGD(groups, lr=fit.peak_rate, momentum=_MOMENTUM)
    return torch.optim.AdamW(groups, lr=fit.peak_rate, fused=parameters[0].device.type == "cpu")


@dataclass(slots=True)
class Fitting:
    """Everything an epoch needs beside the images.

    Attributes:
        model: what trains.
        optimizer: of the model.
        fit: how to train.
        seed: of order, augmentation and stochastic depth.
        cache: the frozen prefix of the training images, where views are cached.
        world: the processes that train together.
        on_gradients: called after every step, while the gradients that it used are at hand, with whether it was the
            last of its epoch.
        schedule: of the learning rate, where it is not that of `fit`: its options, and the epochs that lie before this
            cycle.
        loss: of a batch; an epoch sets it from its images.
    """

    model: TaskModel
    optimizer: torch.optim.Optimizer
    fit: FitOptions
    seed: int
    cache: PrefixCache | None = None
    world: World = ALONE
    on_gradients: Callable[[bool], None] | None = None
    schedule: tuple[FitOptions, int] | None = None
    loss: Loss | None = None

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = self.model.head.weight.device
        return device


def steps_per_epoch(images: int, fit: FitOptions) -> int:
    """Optimiser steps of one epoch."""
    full, rest = divmod(images, fit.batch_size)
    return full if fit.drop_last and full else full + bool(rest)


def train_epoch(fitting: Fitting, train: PixelSet, *, cycle: int, epoch: int, on_step: OnStep) -> Progress:
    """Train for epoch `epoch` (from 0) of cycle `cycle`; returns its last progress.

    Raises:
        Diverged: the loss is not finite.
    """
    fit, model = fitting.fit, fitting.model
    generator = torch.Generator().manual_seed(_epoch_seed(fitting.seed, cycle, epoch))
    model.train()
    model.drop_path = fit.drop_path
    # Every process drops other branches: with one seed for all, row i of each share would lose the same ones.
    noise_seed = _epoch_seed(fitting.seed, cycle, epoch) + fitting.world.rank * _RANKS_APART
    model.draw_from(torch.Generator(fitting.device).manual_seed(noise_seed))
    steps = steps_per_epoch(len(train), fit)
    tally, progress = _Tally(fitting), Progress(0, len(train), 0.0, 0.0, 0.0)
    fitting.loss = loss_of(fit, train.targets.to(fitting.device), model.head.out_features)
    order = order_of(fit, train.targets, generator)
    schedule, before = fitting.schedule or (fit, 0)
    forward = _forward(fitting, train, cycle * fit.epochs + epoch, generator)
    for step, rows in enumerate(order[: steps * fit.batch_size].split(fit.batch_size)):
        rate = learning_rate((before + epoch) * steps + step, steps, schedule)
        part, weight = fitting.world.share(len(rows))
        targets = train.targets[rows[part]]
        _step(fitting, partial(forward, rows, part), targets, rate=rate, weight=weight, tally=tally)
        model.after_step(epoch * steps + step, fit.epochs * steps)
        if fitting.on_gradients:
            fitting.on_gradients(step == steps - 1)
        if tally.due or step == steps - 1:
            progress = tally.progress(len(order), rate)
            on_step(progress)
    return progress


def _epoch_seed(seed: int, cycle: int, epoch: int) -> int:
    return (seed * 1_000_003 + cycle) * 100_003 + epoch


def _forward(
    fitting: Fitting, train: PixelSet, epoch: int, generator: torch.Generator
) -> Callable[[Tensor, slice], tuple[Tensor, Tensor]]:
    """From the rows of a batch and a part of them to the part's logits, and its targets: classes, or their shares.

    The images are augmented anew, or the cached prefix of the epoch's view is used.
    """
    fit, model = fitting.fit, fitting.model
    if not fit.views:
        return partial(_augmented, fitting, train, generator)
    cache = fitting.cache = fitting.cache or PrefixCache(train, augmented_views(fit, fitting.seed))
    cut = model.cut
    inputs = cache.inputs(model.frozen, epoch % fit.views, cut)
    return lambda rows, part: (logits_of(model, inputs[rows[part]], cut), train.targets[rows[part]])


def _augmented(
    fitting: Fitting, train: PixelSet, generator: torch.Generator, rows: Tensor, part: slice
) -> tuple[Tensor, Tensor]:
    """Logits and targets of a part of a batch, augmented and mixed as the options say.

    An image may be mixed with one of another process's part. So all of a batch that is mixed is augmented here.
    """
    fit, model, device = fitting.fit, fitting.model, fitting.device
    mixes = bool(fit.mixup or fit.cutmix)
    own = slice(None) if mixes else part
    pixels = augment(train.pixels[rows[own]], fit, generator, batch=(len(rows), own))
    targets = train.targets[rows[own]]
    if not mixes and not fit.erasing:
        return logits_of(model, pixels), targets
    images = model.backbone.preprocessing.normalize(pixels.to(device, non_blocking=True))
    if fit.erasing:
        images = erased(images, fit.erasing, Draws(generator, len(rows), own).seeds())
    if mixes:
        seed = int(torch.randint(SEEDS, (), generator=generator))
        classes = model.head.out_features
        images, targets = mixed(images, targets.to(device), fit, classes=classes, seed=seed)
        images, targets = images[part], targets[part]
    with autocast(device, model.precision):
        logits: Tensor = model(images)
    return logits.float(), targets


def _step(
    fitting: Fitting,
    forward: Callable[[], tuple[Tensor, Tensor]],
    classes: Tensor,
    *,
    rate: float,
    weight: float,
    tally: "_Tally",
) -> None:
    """Forward, backward, clip, update; `weight` is this process's share of the batch."""
    model, fit, optimizer = fitting.model, fitting.fit, fitting.optimizer
    classes = classes.to(fitting.device)
    for group in optimizer.param_groups:
        group["lr"] = rate
    logits, targets = forward()
    measure = fitting.loss or Loss(fit.label_smoothing, independent=classes.ndim > 1)
    loss = measure(logits, targets.to(fitting.device))
    optimizer.zero_grad(set_to_none=True)
    (loss * weight + model.penalty() / fitting.world.size).backward()
    fitting.world.sum_gradients(model.task_parameters().values())
    nn.utils.clip_grad_norm_(model.task_parameters().values(), fit.clip)
    optimizer.step()
    tally.add(loss.detach(), logits.detach(), classes if weight else classes[:0])


def logits_of(model: TaskModel, inputs: Tensor, cut: Cut = START) -> Tensor:
    """float32 logits (B, K) of uint8 pixels (B, H, W, 3), or of the output at a later `cut`."""
    device = model.head.weight.device
    inputs = inputs.to(device, non_blocking=True)
    with autocast(device, model.precision):
        if cut != START:
            return model.forward_from(inputs, cut).float()
        logits: Tensor = model(model.backbone.preprocessing.normalize(inputs))
    return logits.float()


def or_none(accuracy: float) -> float | None:
    """The value, or None for NaN: JSON and reports use None for a value that was not measured."""
    return None if isnan(accuracy) else accuracy


class _Tally:
    """Running loss and accuracy of an epoch, on the device: reading them makes a GPU wait."""

    def __init__(self, fitting: Fitting) -> None:
        self.world, self.steps = fitting.world, 0
        self.every = 1 if fitting.device.type == "cpu" and self.world.size == 1 else _READ_EVERY
        self.sums = torch.zeros(3, dtype=torch.float64, device=fitting.device)  # images, loss, right

    @property
    def due(self) -> bool:
        """Whether it is time to read."""
        return self.steps % self.every == 0

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Count one batch, whose rows beyond `targets` count nothing."""
        count = len(targets)
        if targets.ndim > 1:
            right = ((logits[:count] > 0) == (targets > 0)).float().mean(1).sum()
        else:
            right = (logits[:count].argmax(1) == targets).sum()
        self.sums += torch.stack([torch.full_like(loss, count), loss * count, right.to(loss)])
        self.steps += 1

    def progress(self, total: int, rate: float) -> Progress:
        """The epoch so far, over all processes.

        Raises:
            Diverged: the loss is not finite, in any of them.
        """
        images, loss, right = self.world.total(self.sums.clone()).tolist()
        if not isfinite(loss):
            raise Diverged("the loss is no longer finite: choose a smaller learning rate; the last checkpoint is good")
        return Progress(int(images), total, loss / images, right / images, rate)


@torch.no_grad()
def evaluate(model: TaskModel, images: PixelSet, *, batch_size: int = 64, cache: PrefixCache | None = None) -> float:
    """Top-1 accuracy in [0, 1] without augmentation, NaN if there are no images.

    Of images with any number of labels it is the mean over the labels of their average precision (mAP).
    `cache`, of these images, spares their prefix the next time.
    """
    if not len(images):
        return nan
    model.eval()
    cut = model.cut if cache else START
    inputs = cache.inputs(model.frozen, 0, cut) if cache and cut != START else images.pixels
    logits = torch.cat([logits_of(model, x, cut).cpu() for x in inputs.split(batch_size)])
    targets = images.targets.cpu()
    if targets.ndim > 1:
        return mean_average_precision(logits.numpy(), targets.bool().numpy())
    return int((logits.argmax(1) == targets).sum()) / len(images)


def metric_of(images: PixelSet) -> str:
    """The name in metrics of the figure that `evaluate` measures for such images."""
    return "map" if images.targets.ndim > 1 else "top1"
