"""A tiny frozen Swin and a tiny data set: real training in seconds."""

import numpy as np
import torch
from timm.models.swin_transformer import SwinTransformer

from backbone import Backbone, flatten
from training.options import FitOptions, MiMiOptions
from training.pixels import PixelSet
from training.prepare import Prepared


def small_backbone() -> Backbone:
    """Two stages of one block each: four sites of 16, 16, 32 and 32 channels, on 16 x 16 pixels."""
    torch.manual_seed(0)
    model = SwinTransformer(
        img_size=16, patch_size=2, window_size=4, embed_dim=16, depths=(1, 1), num_heads=(2, 4), num_classes=0
    )
    model.pretrained_cfg = {"input_size": (3, 16, 16), "crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return flatten("small", model)


def small_set(images: int, seed: int) -> PixelSet:
    """Three classes that differ in their colour."""
    rng = np.random.default_rng(seed)
    targets = np.arange(images) % 3
    pixels = rng.integers(0, 120, (images, 16, 16, 3))
    pixels[np.arange(images), :, :, targets] += 100
    return PixelSet(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(targets))


def small_prepared() -> Prepared:
    golden = small_set(1, 9).pixels[0].numpy()
    return Prepared("small", ("red", "green", "blue"), small_set(48, 0), small_set(24, 1), small_set(30, 2), golden)


def small_options(**changes: object) -> MiMiOptions:
    """Two epochs a cycle, from N = M/4 through two prunings."""
    fit = FitOptions(epochs=2, warmup_epochs=0.5, batch_size=16, learning_rate=5e-3, reference_batch=None, shift=1)
    chosen: dict[str, object] = {
        "fit": fit,
        "initial_sigma": 16.0,
        "target_sigma": 64.0,
        "size_tolerance": 1.0,
        **changes,
    }
    return MiMiOptions(**chosen)  # type: ignore[arg-type]
