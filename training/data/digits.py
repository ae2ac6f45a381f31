"""scikit-learn's handwritten digits, as images, with one fixed split for every task made of them.

1,797 digits of 8x8 pixels with 17 grey levels, upscaled to 64x64. They come without a test split, so 20 % of each
digit are held back by `SPLIT_SEED`: 1,438 to train, 359 to test. The split is drawn by digit for every task here, so
that what is held back from one is held back from all. Writers are not known, and may be in both parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.sets import Data
from training.data.split import carve

SPLIT_SEED = 0
TEST_FRACTION = 0.2
SIDE = 64  # pixels; bicubic from 8
_LEVELS = 16  # the darkest ink

DIGITS = tuple(str(digit) for digit in range(10))
PARITY = ("even", "odd")
NAMES = ("digits", "digits-demo", "digits-parity", "digits-labels")


@dataclass(frozen=True, slots=True, eq=False)
class DigitSet:
    """One split of the digits under one labelling."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,), or (n, K)
    pixels: NDArray[np.uint8]  # (n, 8, 8)
    rows: NDArray[np.int64]  # (n,), place in scikit-learn's order

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, i: int) -> Image.Image:
        """Digit `i`, upscaled smoothly, white ink on black."""
        return Image.fromarray(self.pixels[i]).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")

    def where(self, i: int) -> str:
        """Its place in scikit-learn's data."""
        return f"{self.name}: digit {self.rows[i]}"


def load_digits_data(name: str) -> Data:
    """The named labelling: which digit (`digits`, `digits-demo`), odd and even (`digits-parity`), or both at once."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - one second to import, and only needed here

    bunch = load_digits()
    digits = bunch.target.astype(np.int64)  # (1797,)
    pixels = np.round(bunch.images * (255 / _LEVELS)).astype(np.uint8)  # (1797, 8, 8)
    labels, targets = _labelled(name, digits)
    train, test = (
        DigitSet(f"{name} ({part})", labels, targets[rows], pixels[rows], rows)
        for part, rows in zip(("train", "test"), carve(digits, fraction=TEST_FRACTION, seed=SPLIT_SEED), strict=True)
    )
    return Data(name, labels, train, test)


def _labelled(name: str, digits: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The labels, and the class of each digit; of `digits-labels` two labels each: its value and its parity."""
    if name == "digits-parity":
        return PARITY, digits % 2
    if name == "digits-labels":
        both = np.concatenate([np.eye(len(DIGITS), dtype=np.int64)[digits], np.eye(2, dtype=np.int64)[digits % 2]], 1)
        return (*DIGITS, *PARITY), both
    return DIGITS, digits
