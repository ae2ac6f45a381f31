"""Evaluates frozen features without training a network: nearest neighbours and linear probes.

Probes hold back a part of the training half. Test halves are for final figures and are used only on request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from backbone import Backbone, Preprocessing
from training.data import carve, load_data
from training.data.errors import MissingPath
from training.pixels import PixelSet, decode_all
from training.pretraining.distill.teacher import SIDE, Teacher

NEIGHBOURS = 20
TEMPERATURE = 0.07
PROBED = ("dtd10", "cifar10", "gtsrb", "pacs-sketch")
NEAREST = "tiny-imagenet"
_PENALTY = 0.1  # scikit-learn's C, on standardised features
_HELD_BACK = 0.2


@dataclass(frozen=True, slots=True)
class Encoder:
    """The encoder under test: from pixels of a size to features (B, F).

    Attributes:
        preprocessing: for its size.
        features: uint8 (B, H, W, 3) -> float32 (B, F).
    """

    preprocessing: Preprocessing
    features: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def __call__(self, images: PixelSet, batch_size: int = 64) -> Tensor:
        """Features of all images (n, F), in float32."""
        with torch.autocast("cpu", torch.bfloat16):
            return torch.cat([self.features(pixels).float() for pixels in images.pixels.split(batch_size)])


def of_backbone(backbone: Backbone) -> Encoder:
    """The pooled features that heads and adapters see."""
    return Encoder(backbone.preprocessing, lambda pixels: backbone(backbone.preprocessing.normalize(pixels)))


def of_teacher(teacher: Teacher, like: Preprocessing) -> Encoder:
    """Class token and mean patch, side by side."""

    def features(pixels: Tensor) -> Tensor:
        said = teacher(pixels)
        return torch.cat([said[:, 0], said[:, 1:].mean(1)], 1)

    return Encoder(Preprocessing((SIDE, SIDE), 1.0, like.interpolation, like.mean, like.std), features)


def evaluate(
    encoder: Encoder, data: Path, *, each: int, probes: bool, test: bool, say: Callable[[str], None]
) -> dict[str, float]:
    """Top-1 in [0, 1] by data set.

    Args:
        encoder: what is judged.
        data: folder of the development sets.
        each: training images of a class that neighbours are looked for among; 0 for all.
        probes: judge linear probes as well.
        test: judge probes on the test halves instead of a part of the training halves.
        say: told of every figure.

    Raises:
        DataError: one of its kinds, naming what is to blame.
    """
    found = {f"nearest {NEAREST}": _nearest_of(encoder, data / NEAREST, each)}
    say(f"nearest {NEAREST}: {found[f'nearest {NEAREST}']:.4f}")
    for name in PROBED if probes else ():
        found[f"probe {name}"] = _probe_of(encoder, data / name, test)
        say(f"probe {name}: {found[f'probe {name}']:.4f}")
    return found


def _nearest_of(encoder: Encoder, path: Path, each: int) -> float:
    images = load_data(str(path))
    held_back = images.test or images.validation
    if held_back is None:
        raise MissingPath(f"{path}: a held-back split is needed, such as validation.parquet")
    rows = few_of_each(images.train.targets, each)
    bank = decode_all(images.train, encoder.preprocessing, rows.tolist())
    asked = decode_all(held_back, encoder.preprocessing, range(len(held_back)))
    return nearest(encoder(bank), bank.targets, encoder(asked), asked.targets)


def few_of_each(targets: NDArray[np.int64], each: int) -> NDArray[np.int64]:
    """Rows of the first `each` images of every class, or of all where `each` is 0."""
    if not each:
        return np.arange(len(targets))
    return np.sort(np.concatenate([np.flatnonzero(targets == label)[:each] for label in np.unique(targets)]))


def nearest(bank: Tensor, labels: Tensor, asked: Tensor, wanted: Tensor) -> float:
    """Top-1 of a vote of the nearest neighbours by cosine, weighted by exp(cosine / temperature).

    Features are (n, F) and (m, F), classes (n,) and (m,). The mean of the bank is taken off both: features after an
    average pool share a large part.
    """
    mean = bank.mean(0)
    bank, asked = functional.normalize(bank - mean), functional.normalize(asked - mean)
    classes, right = int(labels.max()) + 1, 0
    for some, targets in zip(asked.split(500), wanted.split(500), strict=True):
        cosine, places = (some @ bank.T).topk(min(NEIGHBOURS, len(bank)))
        votes = torch.zeros(len(some), classes).scatter_add_(1, labels[places], (cosine / TEMPERATURE).exp())
        right += int((votes.argmax(1) == targets).sum())
    return right / len(wanted)


def _probe_of(encoder: Encoder, path: Path, test: bool) -> float:
    images = load_data(str(path))
    if test and images.test is not None:
        train = decode_all(images.train, encoder.preprocessing, range(len(images.train)))
        held = decode_all(images.test, encoder.preprocessing, range(len(images.test)))
    else:
        rows, back = carve(images.train.targets, fraction=_HELD_BACK, seed=0)
        train, held = (decode_all(images.train, encoder.preprocessing, part.tolist()) for part in (rows, back))
    return probe(encoder(train), train.targets, encoder(held), held.targets)


def probe(train: Tensor, labels: Tensor, held: Tensor, wanted: Tensor) -> float:
    """Top-1 of logistic regression on standardised features (n, F) and (m, F)."""
    mean, std = train.mean(0), train.std(0) + 1e-6
    model = LogisticRegression(C=_PENALTY, max_iter=300)
    model.fit(((train - mean) / std).numpy(), labels.numpy())
    return float(model.score(((held - mean) / std).numpy(), wanted.numpy()))
