"""What all contestants share, made once in one folder: weights of the networks, and images.

Weights are random, under timm's names: the same for everyone, whatever runs them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file

from benchmarks.engine.job import FULL, IMAGES, QUICK, SWIN, VIT, VIT_WEIGHTS, WEIGHTS

SIDE, MOST_IMAGES = 224, 16
CLASSES = 10
SCALE = 0.05  # of what timm leaves at zero: a bias that is zero would hide that it was not copied


def make(folder: Path, *, quick: bool) -> None:
    """Fill the folder."""
    generator, sizes = torch.Generator().manual_seed(0), QUICK if quick else FULL
    networks: dict[str, tuple[str, dict[str, Any]]] = {
        WEIGHTS: (SWIN, sizes.swin),
        VIT_WEIGHTS: (VIT, {"depth": sizes.vit_depth}),
    }
    for file, (name, size) in networks.items():
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, num_classes=0, **size)
        save_file({key: _varied(value, generator) for key, value in model.state_dict().items()}, folder / file)
    images = np.random.default_rng(0).standard_normal((MOST_IMAGES, 3, SIDE, SIDE)).astype(np.float32)
    np.save(folder / IMAGES, images)


def _varied(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Weights with noise on them, so that no norm is the identity and no bias is zero; indices as they are."""
    if not value.is_floating_point():
        return value.contiguous()
    noise = torch.randn(value.shape, generator=generator)
    return (value + SCALE * noise * (1.0 if value.ndim < 2 else 0.1)).contiguous()  # noqa: PLR2004
