"""Carving a validation split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.errors import TooFewImages
from training.data.split import carve

TARGETS = np.repeat(np.arange(5), (100, 50, 20, 2, 1))


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 99))
def test_every_index_is_on_exactly_one_side(labels: list[int], fraction: float, seed: int) -> None:
    targets = np.array([*labels, labels[0]], np.int64)
    stay, held = carve(targets, fraction=fraction, seed=seed)
    assert sorted([*stay, *held]) == list(range(len(targets)))
    assert set(targets[stay]) == set(targets)


def test_every_class_gives_its_share() -> None:
    _, held = carve(TARGETS, fraction=0.1, seed=1)
    assert np.bincount(TARGETS[held], minlength=5).tolist() == [10, 5, 2, 1, 0]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (carve(TARGETS, seed=seed)[1].tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("targets", [[], [0], [0, 1, 2]])
def test_classes_of_one_image_cannot_be_split(targets: list[int]) -> None:
    with pytest.raises(TooFewImages, match="two images"):
        carve(np.array(targets, np.int64), seed=0)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        carve(TARGETS, fraction=fraction, seed=0)


def test_a_group_is_never_divided_and_every_class_gives_whole_groups() -> None:
    targets = np.repeat(np.arange(3), (60, 40, 5))
    groups = np.concatenate([np.arange(60) // 6, 100 + np.arange(40) // 10, np.full(5, 200)])
    stay, held = carve(targets, fraction=0.25, seed=0, groups=groups)
    assert not set(groups[stay]) & set(groups[held])
    assert np.bincount(targets[held], minlength=3).tolist() == [12, 10, 0]
    assert sorted([*stay, *held]) == list(range(len(targets)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=8, max_size=60), st.floats(0.01, 0.99))
def test_groups_over_several_classes_stay_whole_too(images: list[tuple[int, int]], fraction: float) -> None:
    targets, groups = np.array([*images, (0, 20), (0, 21)]).T
    stay, held = carve(targets, fraction=fraction, seed=1, groups=groups)
    assert not set(groups[stay]) & set(groups[held])
    assert len(held)


def test_one_group_a_class_cannot_be_split() -> None:
    with pytest.raises(TooFewImages, match="two groups"):
        carve(np.array([0, 0, 1, 1]), seed=0, groups=np.array([0, 0, 1, 1]))
