"""The handwritten digits and their one fixed split."""

import numpy as np
import pytest

from training.data.digits import NAMES, DigitSet, load_digits_data


def rows(name: str, part: str) -> list[int]:
    images = getattr(load_digits_data(name), part)
    assert isinstance(images, DigitSet)
    return [int(row) for row in images.rows]


@pytest.mark.parametrize("name", NAMES)
def test_every_task_holds_back_the_same_digits(name: str) -> None:
    assert rows(name, "test") == rows("digits", "test")
    assert not set(rows(name, "train")) & set(rows("digits", "test"))


def test_the_split_never_moves() -> None:
    assert (len(rows("digits", "train")), len(rows("digits", "test"))) == (1438, 359)
    assert rows("digits", "test")[:5] == [3, 7, 13, 19, 36]


def test_parity_is_the_digit_modulo_two() -> None:
    digits, parity = load_digits_data("digits").train, load_digits_data("digits-parity").train
    assert parity.labels == ("even", "odd")
    assert np.array_equal(parity.targets, digits.targets % 2)


def test_an_image_is_the_scan_upscaled() -> None:
    train = load_digits_data("digits").train
    image = train.image(0)
    assert (image.mode, image.size) == ("RGB", (64, 64))
    assert isinstance(train, DigitSet)
    shrunk = np.asarray(image.convert("L").resize((8, 8)))
    assert np.corrcoef(shrunk.ravel(), train.pixels[0].ravel())[0, 1] > 0.95


def test_a_digit_is_named_by_its_place_in_the_source() -> None:
    train = load_digits_data("digits").train
    assert train.where(2) == f"digits (train): digit {rows('digits', 'train')[2]}"
