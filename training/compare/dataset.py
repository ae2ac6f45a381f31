"""The images of a comparison at one seed: loaded from under a data folder, and thinned to a number of a class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from backbone import Preprocessing
from training.compare.config import DataConfig
from training.data import load_data
from training.data.digits import NAMES
from training.pixels import PixelSet
from training.prepare import Prepared, prepare

_HUB = "hf:"


def load(data: DataConfig, root: Path, preprocessing: Preprocessing, *, validation: float, seed: int) -> Prepared:
    """The data set at a seed, which draws the validation split and the images of a class.

    Raises:
        DataError: see training.data.errors.
    """
    inside = data.spec.startswith(_HUB) or data.spec in NAMES
    spec = data.spec if inside else str(root / data.spec)
    found = load_data(spec, image_column=data.image_column, label_column=data.label_column)
    prepared = replace(prepare(found, preprocessing, validation=validation, seed=seed), name=data.name)
    return few_of(prepared, data.per_class, seed) if data.per_class else prepared


def few_of(prepared: Prepared, per_class: int, seed: int) -> Prepared:
    """The data set with at most `per_class` training images of a class; validation and test stay whole."""
    order = np.random.default_rng(seed).permutation(len(prepared.train))
    targets = prepared.train.targets.numpy()[order]
    rows = [order[targets == label][:per_class] for label in range(len(prepared.labels))]
    kept = torch.from_numpy(np.concatenate(rows))
    return replace(prepared, train=PixelSet(prepared.train.pixels[kept], prepared.train.targets[kept]))
