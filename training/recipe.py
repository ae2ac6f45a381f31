"""The batch operations of timm's training recipe: random resized crop, RandAugment, random erasing, mixup and cutmix.

timm draws from the global generators of Python, NumPy and PyTorch. Here the epoch's generator gives each image a seed,
and each batch one for its mixing. The global generators keep their state. timm takes seconds to import, so it is
imported by the operations that need it.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.options import FitOptions
from training.randaugment import apply, drawing

RATIO = (3 / 4, 4 / 3)  # of a crop's sides, as timm's
SWITCH = 0.5  # share of batches that are cut where both mixings are on


@contextmanager
def kept_generators(device: torch.device) -> Iterator[None]:
    """A context that restores the state of the global generators."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def seed_all(seed: int, device: torch.device) -> None:
    """Seed the generators that timm uses. `torch.manual_seed` would also queue the call for missing devices."""
    random.seed(seed)
    np.random.seed(seed)
    cuda = device.type == "cuda"
    (torch.cuda.default_generators[device.index or 0] if cuda else torch.default_generator).manual_seed(seed)


def resized_crops(images: Tensor, least: float, seeds: Sequence[int]) -> Tensor:
    """uint8 (B, H, W, 3): a part of `least` to all of each image's area, resized (bicubic) to the same size."""
    from timm.data.transforms import RandomResizedCropAndInterpolation  # noqa: PLC0415

    size = list(images.shape[1:3])
    crops = torch.empty_like(images)
    with kept_generators(images.device):
        for row, (image, seed) in enumerate(zip(images.permute(0, 3, 1, 2), seeds, strict=True)):
            random.seed(seed)
            top, left, height, width = RandomResizedCropAndInterpolation.get_params(image, (least, 1.0), RATIO)
            part = image[None, :, top : top + height, left : left + width].float()
            crop = functional.interpolate(part, size, mode="bicubic", antialias=True)
            crops[row] = crop[0].round_().clamp_(0, 255).permute(1, 2, 0).to(torch.uint8)
    return crops


def rand_augmented(images: Tensor, config: str, seeds: Sequence[int]) -> Tensor:
    """uint8 (B, H, W, 3) after the operations that timm's RandAugment of this name draws for each image."""
    draw, drawn = drawing(config), []
    with kept_generators(images.device):
        for seed in seeds:
            random.seed(seed)
            np.random.seed(seed)
            drawn.append(draw([]))
    return apply(images, drawn)


def erased(images: Tensor, share: float, seeds: Sequence[int]) -> Tensor:
    """Normalised images (B, 3, H, W), of which a `share` gets a rectangle of noise, in place."""
    from timm.data.random_erasing import RandomErasing  # noqa: PLC0415

    erase = RandomErasing(share, mode="pixel", device=str(images.device))
    with kept_generators(images.device):
        for image, seed in zip(images, seeds, strict=True):
            seed_all(seed, images.device)
            erase(image)
    return images


def mixed(images: Tensor, targets: Tensor, fit: FitOptions, *, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) mixed or cut with the batch in reverse, in place; smoothed soft targets (B, K).

    `targets` are classes (B,): labels of which an image has any number are refused before training.
    Pairs need an even number: the last image of an odd batch stays as it is.
    """
    from timm.data.mixup import Mixup, mixup_target  # noqa: PLC0415

    mix = Mixup(fit.mixup, fit.cutmix, switch_prob=SWITCH, label_smoothing=fit.label_smoothing, num_classes=classes)
    even = len(images) // 2 * 2
    soft = mixup_target(targets, classes, 1.0, fit.label_smoothing)
    if even:
        with kept_generators(images.device):
            np.random.seed(seed)
            images[:even], soft[:even] = mix(images[:even], targets[:even])
    return images, soft
