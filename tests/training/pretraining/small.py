"""A tiny teacher, tiny image sets and a tiny student: a whole distillation in seconds."""

from pathlib import Path

import numpy as np
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from backbone import Preprocessing
from training.data.published import array_set
from training.pretraining.distill.options import DistillOptions
from training.pretraining.distill.recipe import Distilling, Pass
from training.pretraining.distill.store import Plan, Targets, fill, open_targets
from training.pretraining.distill.teacher import QUADRANTS, WIDTH
from training.pretraining.distill.views import Source, ViewOptions

PREPROCESSING = Preprocessing((16, 16), 1.0, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OPTIONS = DistillOptions(steps=12, batch_size=16, learning_rate=3e-3, ema=0.8, shift=1, jitter=0.0, warmup=0.1)


def source(name: str, images: int, views: int, *, labelled: bool = False) -> Source:
    """Three classes that differ in their colour."""
    rng = np.random.default_rng(len(name))
    targets = np.arange(images) % 3
    pixels = rng.integers(0, 120, (images, 20, 20, 3))
    pixels[np.arange(images), :, :, targets] += 100
    labels = ("red", "green", "blue")
    return Source(name, array_set(name, labels, targets.tolist(), pixels.astype(np.uint8)), views, labelled)


def plan(shard: int = 16) -> Plan:
    """32 images in 48 views a round."""
    sources = (source("labelled", 16, 1, labelled=True), source("other", 16, 2))
    return Plan(sources, ViewOptions(), PREPROCESSING, "a teacher", shard)


def encode(pixels: Tensor) -> Tensor:
    """A teacher whose features are the mean colours of the view and of its quadrants, in a fixed random basis."""
    basis = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0))
    images = pixels.permute(0, 3, 1, 2).float() / 255
    quadrants = torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(2).transpose(1, 2)
    assert quadrants.shape[1] == QUADRANTS
    return torch.cat([quadrants.mean(1, keepdim=True), quadrants], 1) @ basis


def targets(folder: Path, rounds: int = 1) -> Targets:
    """The targets of the tiny teacher."""
    fill(folder, plan(), rounds, encode, say=lambda text: None)
    return open_targets(folder)


def rows_of(step: int, shown: Targets, options: DistillOptions = OPTIONS) -> Tensor:
    """The views of a step of one endless pass after another."""
    steps = len(shown) // options.batch_size
    return Pass(len(shown), step // steps * steps).rows(step, options)


def begin(shown: Targets, options: DistillOptions = OPTIONS, threads: int = 1) -> Distilling:
    """A student of two stages on 16 x 16 pixels: its last map is 2 x 2."""
    torch.manual_seed(0)
    network = SwinTransformer(
        img_size=16, patch_size=4, window_size=2, embed_dim=16, depths=(1, 1), num_heads=(2, 4), num_classes=3
    )
    return Distilling.begin(network, shown, options, PREPROCESSING, threads=threads)
