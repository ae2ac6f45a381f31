"""One step of the student: a batch of views, the losses against what the teacher said, and the averaged weights.

The student's pooled features predict the teacher's class token. Its last 2 x 2 map predicts the mean patch of each
quadrant. Both use linear heads that are discarded after training. Targets are standardised feature by feature, so that
a few large ones do not decide the loss.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from pathlib import Path

import torch
from safetensors.torch import load_file
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from backbone import SHIPPED, Preprocessing, shipped, shipped_config
from training.augment import augment
from training.errors import Diverged
from training.pretraining.distill.options import DistillOptions
from training.pretraining.distill.store import UNLABELLED, Targets
from training.pretraining.distill.teacher import QUADRANTS, WIDTH
from training.schedule import learning_rate

_POSITIONS = 1_000_000  # that a schedule is divided into
_OLDER = SHIPPED[-1]  # the one that labels alone have taught; a student begins there
_MEASURED = 16  # shards from which mean and scale of the targets are taken


class Student(nn.Module):
    """The backbone with its classifier, and the linear heads that only training needs."""

    def __init__(self, network: SwinTransformer, sharpness: float = 0.0) -> None:
        """Take over `network`, whose last map must be 2 x 2; `sharpness` is that of `DistillOptions`."""
        super().__init__()
        self.network = network
        self.sharpness = sharpness
        self.token = nn.Linear(network.num_features, WIDTH)
        self.patches = nn.Linear(network.num_features, WIDTH)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (B, 3, H, W) -> predicted targets (B, 5, 384) and logits (B, K)."""
        features = self.network.forward_features(images)  # (B, 2, 2, F)
        pooled = features.mean((1, 2))
        said = torch.cat([self.token(pooled)[:, None], self.patches(features.flatten(1, 2))], 1)
        return said, self._classes(pooled)

    def _classes(self, pooled: Tensor) -> Tensor:
        """(B, F) -> logits (B, K).

        A cosine classifier brings the images of a class together in angle, by which neighbours are found. The mean
        that it takes off is that of this thread's part of the batch.
        """
        classifier: nn.Linear = self.network.head.fc
        if not self.sharpness:
            logits: Tensor = classifier(pooled)
            return logits
        turned = functional.normalize(pooled - pooled.mean(0).detach(), dim=1)
        return self.sharpness * functional.linear(turned, functional.normalize(classifier.weight, dim=1))


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of every target: (2, 384), of the class token and of the quadrants."""

    mean: Tensor
    std: Tensor

    @classmethod
    def measure(cls, targets: Targets) -> "Scale":
        """Over the first shards, which are a fair sample."""
        sums, squares, count = torch.zeros(2, WIDTH, dtype=torch.float64), torch.zeros(2, WIDTH, dtype=torch.float64), 0
        for shard in targets.features[:_MEASURED]:
            features = torch.from_numpy(shard.copy()).double()  # (n, 5, 384)
            kinds = torch.stack([features[:, :1].sum(1), features[:, 1:].mean(1)])
            sums += kinds.sum(1)
            squares += torch.stack([features[:, 0].square().sum(0), features[:, 1:].square().mean(1).sum(0)])
            count += len(features)
        mean = sums / count
        return cls(mean.float(), (squares / count - mean.square()).clamp_min(1e-6).sqrt().float())

    def __call__(self, features: Tensor) -> Tensor:
        """Standardised (B, 5, 384)."""
        kinds = torch.tensor([0] + [1] * QUADRANTS)
        return (features - self.mean[kinds]) / self.std[kinds]


def losses(said: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 plus one minus the cosine, the class token as heavy as all quadrants together."""
    distance = functional.smooth_l1_loss(said, wanted, reduction="none").mean(2)  # (B, 5)
    turned = 1 - functional.cosine_similarity(said, wanted, dim=2)
    both = (distance + turned).mean(0)
    return both[0] + both[1:].mean()


def mirror(pixels: Tensor, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the views mirrored, with left and right quadrants exchanged in their targets."""
    chosen = torch.rand(len(pixels), generator=generator).lt(0.5)
    pixels = torch.where(chosen[:, None, None, None], pixels.flip(2), pixels)
    exchanged = features[:, [0, 2, 1, 4, 3]]
    return pixels, torch.where(chosen[:, None, None], exchanged, features)


@dataclass(slots=True)
class Distilling:
    """The state of a distillation.

    Attributes:
        model: the student with its heads.
        average: exponential moving average of it.
        optimizer: AdamW.
        options: the recipe.
        preprocessing: of the views.
        scale: of the targets.
        copies: one for each thread; they share the model's weights and have gradients of their own.
    """

    model: Student
    average: AveragedModel
    optimizer: torch.optim.AdamW
    options: DistillOptions
    preprocessing: Preprocessing
    scale: Scale
    copies: tuple[Student, ...]

    @classmethod
    def begin(
        cls,
        network: SwinTransformer,
        targets: Targets,
        options: DistillOptions,
        preprocessing: Preprocessing,
        *,
        threads: int = 1,
    ) -> "Distilling":
        """A student that begins with `network`'s weights."""
        torch.manual_seed(options.seed)
        model = Student(network, options.sharpness)
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)
        copies = tuple(_sharing(model) for _ in range(threads))
        return cls(model, average, optimizer, options, preprocessing, Scale.measure(targets), copies)

    def step(self, number: int, targets: Targets, rows: Tensor, position: float) -> Mapping[str, float]:
        """Step `number` (from 0) on `rows` of the targets, at `position` of the schedule: its mean losses by name.

        Raises:
            Diverged: the loss is not finite.
        """
        options = self.options
        torch.manual_seed(options.seed * 1_000_003 + number)  # stochastic depth
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + number)
        pixels, features, labels = targets.batch(rows)
        pixels, features = mirror(pixels, features, generator)
        images = self.preprocessing.normalize(augment(pixels, options.fit, generator))
        found = self._gradients(images, self.scale(features), labels)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(round(position * _POSITIONS), _POSITIONS, options.fit)
        nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return found

    def _gradients(self, images: Tensor, wanted: Tensor, labels: Tensor) -> Mapping[str, float]:
        """The model's gradients, each copy having had its part of the batch in a thread of its own.

        Threads that never wait for one another inside a product keep their pace where other processes want the cores.
        """
        parts = len(self.copies)
        labelled = max(int((labels != UNLABELLED).sum()), 1)
        jobs = [
            (copy, part, len(images), labelled)
            for copy, *part in zip(
                self.copies, images.chunk(parts), wanted.chunk(parts), labels.chunk(parts), strict=True
            )
        ]
        with ThreadPoolExecutor(parts) as pool:
            found = list(pool.map(lambda job: self._part(*job), jobs))
        for parameter, *own in zip(self.model.parameters(), *(copy.parameters() for copy in self.copies), strict=True):
            grads = [each.grad for each in own if each.grad is not None]
            parameter.grad = reduce(torch.add, grads) if grads else None
        total = {name: sum(each[name] for each in found) for name in found[0]}
        if not isfinite(sum(total.values())):
            raise Diverged("the loss is no longer finite: choose a smaller learning rate; the last checkpoint is good")
        return total

    def _part(self, copy: Student, part: list[Tensor], views: int, labelled: int) -> dict[str, float]:
        images, wanted, labels = part
        copy.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            said, logits = copy(images)
        distilled = losses(said.float(), wanted) * (len(images) / views)
        entropy = functional.cross_entropy(
            logits.float(), labels, ignore_index=UNLABELLED, label_smoothing=self.options.label_smoothing,
            reduction="sum",
        ) / labelled  # fmt: skip
        (distilled + self.options.classes_weight * entropy).backward()
        right = (logits.argmax(1) == labels).sum() / labelled
        return {"distilled": distilled.item(), "entropy": entropy.item(), "accuracy": right.item()}


def new_student(weights: Path | None, options: DistillOptions) -> SwinTransformer:
    """The bundled architecture with the older weights that ship, those of a file, or fresh ones.

    Raises:
        FileNotFoundError, SafetensorError: the file cannot be read.
        RuntimeError: it is of another architecture.
    """
    torch.manual_seed(options.seed)
    network = SwinTransformer(**{**shipped_config(_OLDER)["model_args"], "drop_path_rate": options.drop_path})
    if not options.fresh:
        tensors = load_file(weights or shipped(_OLDER) / "model.safetensors")
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network


def _sharing(model: Student) -> Student:
    """A copy whose parameters are the model's own memory."""
    copy = deepcopy(model)
    for own, shared in zip(copy.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return copy


@dataclass(slots=True)
class Pass:
    """One pass over the views that were there when it began; a later pass may have more of them.

    Attributes:
        views: how many there were.
        start: its first step.
    """

    views: int = 0
    start: int = 0

    def over(self, step: int, batch_size: int) -> bool:
        """Whether `step` belongs to the next pass; the last short batch of a pass is left out."""
        return step >= self.start + self.views // batch_size

    def rows(self, step: int, options: DistillOptions) -> Tensor:
        """The views of one step, in an order that is the pass's own."""
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + self.start)
        order = torch.randperm(self.views, generator=generator)
        place = (step - self.start) * options.batch_size
        return order[place : place + options.batch_size]
