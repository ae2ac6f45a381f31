"""One model that `benchmarks.training` trains, by the plain loop and by ours."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from backbone import load_backbone
from benchmarks.plain_loop import PilImages, check_equal, plain_model, train_plainly
from training.fit import Fitting, build_optimizer, train_epoch
from training.frozen import frozen_backbone
from training.model import AdaptedModel
from training.options import FitOptions, Precision
from training.pixels import PixelSet
from training.prefix import PrefixCache, augmented_views

PLAIN = "plain"
CLASSES = 10
FRACTION = 16  # N = M / 16 from the first live site on: what is left after one pruning
FIT = FitOptions(
    epochs=10, warmup_epochs=1, batch_size=32, learning_rate=1e-3, reference_batch=None, rotate=10, zoom=0.1, jitter=0.4
)


@dataclass(frozen=True, slots=True)
class Way:
    """How our loop computes."""

    name: str
    precision: Precision
    compiled: bool = False


FP32, BF16 = Way("fp32", "fp32"), Way("bf16", "bf16")
COMPILED = Way("bf16, compiled", "bf16", compiled=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """One model to train, and its images."""

    first: int
    images: PixelSet
    views: int
    device: str = "cpu"
    workers: int = 0
    compiles: bool = False

    def model(self, way: Way = FP32) -> AdaptedModel:
        """Adapters from the first live site on."""
        backbone = load_backbone().to(self.device)
        widths = [site.dim // FRACTION if site.index >= self.first else 0 for site in backbone.sites]
        frozen = frozen_backbone(backbone, way.precision, compiles=way.compiled)
        return AdaptedModel(frozen, widths, CLASSES).to(self.device)

    def plain(self) -> Callable[[], float]:
        """One epoch of the plain loop."""
        model = self.model()
        rival = plain_model({site: adapter.weights for site, adapter in model.live.items()}, model.head)
        rival.to(self.device)
        check_equal(model, rival, self.images.pixels[:8])
        preprocessing = model.backbone.preprocessing
        statistics = (list(preprocessing.mean), list(preprocessing.std))
        images = PilImages(self.images.pixels, self.images.targets, FIT, statistics)
        return partial(train_plainly, rival, images, FIT, workers=self.workers)

    def ours(self, way: Way) -> Callable[[], float]:
        """One epoch, augmented anew, nothing cached."""
        return partial(self._epochs, self.model(way), FIT, 1)

    def cached(self, way: Way) -> Callable[[], float]:
        """A whole cycle with an empty cache at its start."""
        return partial(self._epochs, self.model(way), self._fit, FIT.epochs)

    def cached_before(self, way: Way) -> Callable[[], float]:
        """A whole cycle that finds in the cache what the cycle before it has computed."""
        cache = PrefixCache(self.images, augmented_views(self._fit, 0))
        return partial(self._epochs, self.model(way), self._fit, FIT.epochs, cache)

    @property
    def _fit(self) -> FitOptions:
        return replace(FIT, views=self.views)

    def _epochs(self, model: AdaptedModel, fit: FitOptions, epochs: int, cache: PrefixCache | None = None) -> float:
        fitting, loss = Fitting(model, build_optimizer(model, fit), fit, 0, cache), 0.0
        for epoch in range(epochs):
            loss = train_epoch(fitting, self.images, cycle=0, epoch=epoch, on_step=lambda progress: None).loss
        return loss

    def contestants(self) -> dict[str, Callable[[], float]]:
        """What is timed, by name; all are called once before."""
        found = {PLAIN: self.plain()}
        for way in (FP32, BF16, COMPILED) if self.compiles else (FP32, BF16):
            found[way.name] = self.ours(way)
            found[f"{way.name}, cached"] = self.cached(way)
            found[f"{way.name}, cached before"] = self.cached_before(way)
        return found


def random_images(count: int, device: str = "cpu") -> PixelSet:
    """Noise of the backbone's size: throughput does not depend on what is seen."""
    generator = torch.Generator().manual_seed(0)
    size = load_backbone().preprocessing.size
    pixels = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)
    return PixelSet(pixels.to(device), torch.arange(count) % CLASSES)
