"""RandAugment on whole batches: timm draws which operations and how strong, and they are computed here on the device.

timm computes them with Pillow, one image after another, which a GPU would wait for. Each operation here takes all
images that drew it. It gives Pillow's values but for rounding. At turns and shears the bicubic kernel differs a little.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import radians
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from timm.data.auto_augment import RandAugment

Drawn = list[tuple[str, float]]  # operations of one image with their levels, in order; 0 if there is no level
Operation = Callable[[Tensor, Tensor], Tensor]  # of values 0 … 255 (n, 3, H, W) and levels (n, 1, 1, 1)

_GREY = (19595 / 2**16, 38470 / 2**16, 7471 / 2**16)  # Pillow's
FILL = (124.0, 116.0, 104.0)  # where a turned image has no pixel: the mean colour of ImageNet, as in timm's recipe
_MIDDLE = 128
_TOP = 255


def drawing(config: str) -> "RandAugment":
    """timm's RandAugment with operations that note what they were asked to do; called with an empty list."""
    from timm.data.auto_augment import rand_augment_transform  # noqa: PLC0415 - seconds to import

    chosen = rand_augment_transform(config, {"translate_pct": 0.45})
    for operation in chosen.ops:
        operation.aug_fn = partial(_note, operation.name)
    return chosen


def _note(name: str, drawn: Drawn, *levels: float, **ignored: Any) -> Drawn:  # noqa: ANN401 - timm's arguments
    return [*drawn, (name, float(levels[0]) if levels else 0.0)]


def apply(images: Tensor, drawn: Sequence[Drawn]) -> Tensor:
    """uint8 (B, H, W, 3) after the operations that each image drew."""
    values = images.permute(0, 3, 1, 2).float()
    for layer in range(max(map(len, drawn), default=0)):
        names = [each[layer][0] if len(each) > layer else "" for each in drawn]
        for name in sorted(set(names) - {""}):
            rows = [row for row, found in enumerate(names) if found == name]
            levels = torch.tensor([drawn[row][layer][1] for row in rows], device=values.device).view(-1, 1, 1, 1)
            index = torch.tensor(rows, device=values.device)
            changed = OPERATIONS[name.removesuffix("Increasing")](values[index], levels)
            values[index] = changed.clamp_(0, _TOP).floor_()
    return values.to(torch.uint8).permute(0, 2, 3, 1)


def _auto_contrast(x: Tensor, _: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, ((x - low) * _TOP / (high - low).clamp(min=1) + 1e-3), x)


def _equalize(x: Tensor, _: Tensor) -> Tensor:
    """Each channel by its own histogram; one whose values are too few to fill 255 steps stays."""
    flat = x.flatten(0, 1).flatten(1).long()  # (3n, H·W)
    counts = torch.zeros(len(flat), 256, dtype=torch.long, device=x.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    last = counts.gather(1, flat.amax(1, keepdim=True))  # of the brightest value
    step = (counts.sum(1, keepdim=True) - last) // _TOP
    before = counts.cumsum(1) - counts
    table = ((step // 2 + before) // step.clamp(min=1)).clamp(max=_TOP)
    return torch.where(step > 0, table.gather(1, flat), flat).view(x.shape).float()


def _posterize(x: Tensor, bits: Tensor) -> Tensor:
    unit = 2 ** (8 - bits)
    return (x / unit).floor() * unit


def _solarize(x: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(x < threshold, x, _TOP - x)


def _solarize_add(x: Tensor, add: Tensor) -> Tensor:
    return torch.where(x < _MIDDLE, x + add, x)


def _blend(plain: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    return plain + factor * (x - plain) + 1e-3  # Pillow's numbers end a little above what should be whole


def _grey(x: Tensor) -> Tensor:
    weights = torch.tensor(_GREY, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True).add_(0.5).floor_()


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    return _blend((_grey(x).mean((1, 2, 3), keepdim=True) + 0.5).floor(), x, factor)


def _sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Against Pillow's SMOOTH, which leaves the border as it is."""
    kernel = torch.ones(3, 1, 3, 3, device=x.device)
    kernel[:, :, 1, 1] = 5
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = (functional.conv2d(x, kernel, groups=3) / kernel[0].sum() + 0.5).floor()
    return _blend(smooth, x, factor)


def _affine(x: Tensor, level: Tensor, *, matrix: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """Every pixel from where `matrix` says, relative to the centre; grey where that is outside."""
    height, width = x.shape[2:]
    down = (torch.arange(height, device=x.device) + 0.5 - height / 2).view(1, -1, 1)
    right = (torch.arange(width, device=x.device) + 0.5 - width / 2).view(1, 1, -1)
    across, along = matrix(level.view(-1, 1, 1), right, down)
    grid = torch.stack(torch.broadcast_tensors(2 * across / width, 2 * along / height), -1)  # (n, H, W, 2)
    inside = (grid.abs() <= 1).all(-1).unsqueeze(1)
    moved = functional.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return torch.where(inside, moved.round(), torch.tensor(FILL, device=x.device).view(1, 3, 1, 1))


def _turned(degrees: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    angle = -degrees * radians(1)
    return angle.cos() * x + angle.sin() * y, -angle.sin() * x + angle.cos() * y


def _translate(x: Tensor, share: Tensor, *, axis: int) -> Tensor:
    def matrix(level: Tensor, right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        by = level * x.shape[axis]
        return (right + by, down + 0 * by) if axis == 3 else (right + 0 * by, down + by)  # noqa: PLR2004 - the last axis

    return _affine(x, share, matrix=matrix)


def _shear(x: Tensor, factor: Tensor, *, axis: int) -> Tensor:
    """Pillow shears about the corner, not about the centre."""
    height, width = x.shape[2:]

    def matrix(level: Tensor, right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        if axis == 3:  # noqa: PLR2004 - the last axis
            return right + level * (down + height / 2), down + 0 * level
        return right + 0 * level, down + level * (right + width / 2)

    return _affine(x, factor, matrix=matrix)


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
    "Invert": lambda x, _: _TOP - x,
    "Rotate": partial(_affine, matrix=_turned),
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": lambda x, factor: _blend(_grey(x), x, factor),
    "Contrast": _contrast,
    "Brightness": lambda x, factor: _blend(torch.zeros_like(x), x, factor),
    "Sharpness": _sharpness,
    "ShearX": partial(_shear, axis=3),
    "ShearY": partial(_shear, axis=2),
    "TranslateXRel": partial(_translate, axis=3),
    "TranslateYRel": partial(_translate, axis=2),
}
