"""A view follows from its name and a seed, and teacher and student see the same one."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.trees import write_parquet
from tests.training.pretraining.small import PREPROCESSING, source
from training.pretraining.distill.views import View, ViewOptions, draw, load_sources, round_of

OPTIONS = ViewOptions()
LARGE = replace(PREPROCESSING, size=(64, 64))


def picture(width: int = 40, height: int = 30) -> Image.Image:
    """Smooth, so that it looks the same at two sizes: no two views of it are alike."""
    across, down = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 250, height))
    return Image.fromarray(np.stack([across, down, (across + down) / 2], 2).astype(np.uint8))


def test_a_view_is_drawn_the_same_again() -> None:
    for number in range(4):
        (first,) = draw(picture(), View(1, 2, number), OPTIONS, [PREPROCESSING])
        (again,) = draw(picture(), View(1, 2, number), OPTIONS, [PREPROCESSING])
        np.testing.assert_array_equal(first, again)
        assert first.shape == (16, 16, 3)


@pytest.mark.parametrize("other", [View(1, 2, 4), View(1, 3, 3), View(0, 2, 3)])
def test_other_names_give_other_views(other: View) -> None:
    (first,) = draw(picture(), View(1, 2, 3), OPTIONS, [PREPROCESSING])
    (second,) = draw(picture(), other, OPTIONS, [PREPROCESSING])
    assert np.abs(first.astype(int) - second).max() > 5


def test_another_seed_gives_another_view() -> None:
    (first,) = draw(picture(), View(1, 2, 3), OPTIONS, [PREPROCESSING])
    (second,) = draw(picture(), View(1, 2, 3), replace(OPTIONS, seed=1), [PREPROCESSING])
    assert np.abs(first.astype(int) - second).max() > 5


def test_view_0_is_what_a_backbone_sees() -> None:
    (view,) = draw(picture(), View(0, 0, 0), OPTIONS, [PREPROCESSING])
    np.testing.assert_array_equal(view, PREPROCESSING.pixels(picture()))


@pytest.mark.parametrize("number", range(6))
def test_both_sizes_show_the_same_part_under_the_same_light(number: int) -> None:
    small, large = draw(picture(), View(0, 0, number), OPTIONS, [PREPROCESSING, LARGE])
    shrunk = large.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 3


def test_a_crop_keeps_the_least_share_even_of_a_long_image() -> None:
    """No box of the wanted shapes fits: the largest square in the middle is taken."""
    long = picture(400, 12)
    (view,) = draw(long, View(0, 0, 1), replace(OPTIONS, smallest=1.0, jitter=0.0), [PREPROCESSING])
    middle = np.asarray(long.crop((194, 0, 206, 12)).resize((16, 16), Image.Resampling.BICUBIC))
    assert min(np.abs(view.astype(int) - middle).max(), np.abs(view[:, ::-1].astype(int) - middle).max()) <= 2


def test_rounds_show_every_image_as_often_as_its_source_says() -> None:
    sources = (source("one", 5, 1), source("three", 4, 3))
    first, second = (round_of(sources, number, OPTIONS) for number in (0, 1))
    assert Counter((view.source, view.image) for view in first) == {
        **{(0, image): 1 for image in range(5)},
        **{(1, image): 3 for image in range(4)},
    }
    assert {view.number for view in first if view.source == 1} == {0, 1, 2}
    assert {view.number for view in second if view.source == 1} == {3, 4, 5}
    assert first != sorted(first, key=lambda view: (view.source, view.image, view.number))
    assert first == round_of(sources, 0, OPTIONS)


def test_only_training_halves_are_shown(tmp_path: Path) -> None:
    write_parquet(tmp_path / "ants" / "train.parquet", [0, 1, 1])
    write_parquet(tmp_path / "ants" / "test.parquet", [0, 1])
    (loaded,) = load_sources(tmp_path, [("ants", 2)], "ants")
    assert (loaded.name, len(loaded.images), loaded.views, loaded.labelled) == ("ants", 3, 2, True)
