"""Augmentation of whole batches on their device, each image by its own draw.

Draws come from the epoch's generator, in a fixed order, and only for augmentations that are on.
"""

from math import pi

import torch
from torch import Tensor
from torch.nn import functional

from training.options import FitOptions
from training.recipe import rand_augmented, resized_crops

SEEDS = 2**31  # that an image may have


def augment(
    pixels: Tensor, fit: FitOptions, generator: torch.Generator, *, batch: tuple[int, slice] | None = None
) -> Tensor:
    """Crop, flip, shift, rotate and zoom, jitter, RandAugment: uint8 (B, H, W, 3) -> the same.

    Args:
        pixels: the images.
        fit: which augmentations, and how strong.
        generator: of the draws.
        batch: size of a larger batch and the part of it that `pixels` are. Draws are made for the whole batch, so that
            several processes, each with its part, augment as one process does.
    """
    draws = Draws(generator, *(batch or (len(pixels), slice(None))))
    if fit.resized_crop:
        pixels = resized_crops(pixels, fit.resized_crop, draws.seeds())
    if fit.flip:
        pixels = _flip(pixels, draws)
    if fit.shift:
        pixels = _shift(pixels, fit.shift, draws)
    if fit.rotate or fit.zoom:
        pixels = _rotate(pixels, fit.rotate, fit.zoom, draws)
    if fit.jitter:
        pixels = _jitter(pixels, fit.jitter, draws)
    if fit.randaugment:
        pixels = rand_augmented(pixels, fit.randaugment, draws.seeds())
    return pixels


def _flip(pixels: Tensor, draws: "Draws") -> Tensor:
    """Left and right exchanged in half of the images."""
    mirrored = draws.uniform(1)[0].lt(0.5)
    return torch.where(mirrored.to(pixels.device)[:, None, None, None], pixels.flip(2), pixels)


def _shift(pixels: Tensor, shift: int, draws: "Draws") -> Tensor:
    """Moved by up to `shift` pixels each way; edges are repeated."""
    batch, height, width, channels = pixels.shape
    down, right = draws.integers(2, 2 * shift + 1).to(pixels.device) - shift
    rows = (down + torch.arange(height, device=pixels.device)).clamp_(0, height - 1)  # (B, H)
    columns = (right + torch.arange(width, device=pixels.device)).clamp_(0, width - 1)  # (B, W)
    rows += height * torch.arange(batch, device=pixels.device)[:, None]
    places = width * rows[:, :, None] + columns[:, None, :]  # (B, H, W), in all pixels of the batch
    return pixels.reshape(-1, channels).index_select(0, places.flatten()).view(pixels.shape)


def _rotate(pixels: Tensor, degrees: float, zoom: float, draws: "Draws") -> Tensor:
    """Turned by up to `degrees` and scaled by 1 ± `zoom` about the centre; edges are repeated."""
    turn, scale = (2 * draws.uniform(2) - 1).to(pixels.device)
    angle, scale = turn * degrees * pi / 180, 1 + scale * zoom
    cos, sin, zero = angle.cos() * scale, angle.sin() * scale, torch.zeros_like(angle)
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)  # output to input coordinates
    images = pixels.permute(0, 3, 1, 2).float()
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    turned = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return turned.round().to(torch.uint8).permute(0, 2, 3, 1)


def _jitter(pixels: Tensor, jitter: float, draws: "Draws") -> Tensor:
    """Brightness, then contrast about the image's mean, each times its own factor in 1 ± `jitter`."""
    light, contrast = (1 + jitter * (2 * draws.uniform(2) - 1)).to(pixels.device)
    values = pixels.float().mul_(light[:, None, None, None])
    mean = values.mean((1, 2, 3), keepdim=True)
    values.sub_(mean).mul_(contrast[:, None, None, None]).add_(mean)  # in place: new memory costs most of the time
    return values.round_().clamp_(0, 255).to(torch.uint8)


class Draws:
    """Random numbers of one batch, of which only a part is used here."""

    def __init__(self, generator: torch.Generator, batch: int, part: slice) -> None:
        self._generator, self._batch, self._part = generator, batch, part

    def uniform(self, rows: int) -> Tensor:
        """(rows, B) in [0, 1)."""
        shape = (self._batch,) if rows == 1 else (rows, self._batch)
        return torch.rand(shape, generator=self._generator).view(rows, -1)[:, self._part]

    def integers(self, rows: int, end: int) -> Tensor:
        """(rows, B, 1) in [0, end)."""
        return torch.randint(0, end, (rows, self._batch, 1), generator=self._generator)[:, self._part]

    def seeds(self) -> list[int]:
        """A seed for each image."""
        found: list[int] = self.integers(1, SEEDS)[0, :, 0].tolist()
        return found
