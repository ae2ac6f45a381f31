"""From a decoded image to the network's input, the same way in training and in serving.

It has two parts: `pixels` resizes on the CPU to uint8, which is small to copy; `normalize` runs on any device.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from math import ceil, floor
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Resize = Literal["crop", "squash"]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize the shorter side to size / crop_pct and crop the centre, or squash; scale to [0, 1], normalise.

    Attributes:
        size: height and width of the network's input, in pixels.
        crop_pct: share of the resized image that the centre crop keeps.
        interpolation: "bicubic" or "bilinear".
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
        resize: "crop", or "squash": resize the whole image to `size` without keeping its proportions, as VTAB does.

    Raises:
        ValueError: an unknown interpolation, or a size or share out of range.
    """

    size: tuple[int, int]
    crop_pct: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = "crop"

    def __post_init__(self) -> None:
        """Check the values that would otherwise fail on the first image."""
        if self.interpolation not in _FILTERS:
            raise ValueError(f"interpolation must be one of {sorted(_FILTERS)}, not {self.interpolation!r}")
        if self.resize not in get_args(Resize):
            raise ValueError(f"resize must be one of {get_args(Resize)}, not {self.resize!r}")
        if min(self.size) < 1 or not 0 < self.crop_pct <= 1:
            raise ValueError(f"size must be positive and crop_pct in (0, 1], not {self.size} and {self.crop_pct}")

    def as_dict(self) -> dict[str, object]:
        """As JSON values, for a task adapter's manifest. `resize` is left out if it is "crop"."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        if self.resize == "crop":  # so older files, from before this choice existed, keep their hash
            del values["resize"]
        return values

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the canonical JSON of `as_dict`."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def enough(self) -> int:
        """The fewest pixels of an image's shorter side that `pixels` can use without enlarging it."""
        return ceil(max(self.size) / self.crop_pct)

    def pixels(self, image: Image.Image) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
        """Resize and crop, or squash, an RGB image: uint8 (H, W, 3)."""
        height, width = self.size
        if self.resize == "squash":
            return np.asarray(image.resize((width, height), _FILTERS[self.interpolation]))
        scale = max(height / self.crop_pct / image.height, width / self.crop_pct / image.width)
        resized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        # Resampling and cropping in one call: a long thin image never exists at its full resized length.
        left, top = floor((resized[0] - width) / 2), floor((resized[1] - height) / 2)
        box = (
            left * image.width / resized[0],
            top * image.height / resized[1],
            (left + width) * image.width / resized[0],
            (top + height) * image.height / resized[1],
        )
        return np.asarray(image.resize((width, height), _FILTERS[self.interpolation], box=box))

    def normalize(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> float32 (B, 3, H, W), on the device of `pixels`."""
        mean, std = (
            torch.tensor(values, device=pixels.device).view(-1, 1, 1) * 255 for values in (self.mean, self.std)
        )
        # Transpose the bytes first, then normalise in place: the other order takes four times as long.
        planes = pixels.permute(0, 3, 1, 2).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        return planes.sub_(mean).div_(std)
