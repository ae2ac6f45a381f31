"""Pretraining learns, resumes to the same bytes, and writes weights that the backbone loads."""

import random
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models.swin_transformer import SwinTransformer

from backbone import BUNDLED, load_backbone
from tests.training.small import small_set
from training.data.errors import MissingPath
from training.errors import CheckpointMismatch, Diverged
from training.pixels import PixelSet
from training.pretraining.__main__ import load_images
from training.pretraining.options import PretrainOptions
from training.pretraining.recipe import Pretraining
from training.pretraining.run import Images, pretrain
from training.progress import Silent

ARGUMENTS: dict[str, object] = {
    "img_size": 16, "patch_size": 2, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 4),
}  # fmt: skip
OPTIONS = PretrainOptions(
    epochs=3, warmup_epochs=1, batch_size=16, learning_rate=3e-3, ema=0.8, shift=1, rotate=0, zoom=0, mixup=0.1
)


@pytest.fixture(autouse=True)
def untouched_generators() -> None:
    """timm's mixing draws from the global generators, which other tests must not see."""
    random.seed(0)
    np.random.seed(0)


def images() -> Images:
    return Images("small", small_set(96, 0), small_set(30, 1))


def begin(options: PretrainOptions = OPTIONS) -> Pretraining:
    backbone = load_backbone()
    return Pretraining.begin(ARGUMENTS, 3, options, backbone.preprocessing)


def test_it_learns_what_is_easy(tmp_path: Path) -> None:
    state = begin(replace(OPTIONS, epochs=8, cutmix=0.0))
    pretrain(state, images(), tmp_path, Silent())
    assert state.evaluate(images().held_back) > 0.8


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_stopped_pretraining_goes_on_to_the_same_bytes(tmp_path: Path, epochs: int) -> None:
    whole = pretrain(begin(), images(), tmp_path / "whole", Silent())

    class Stop(Exception):
        pass

    class Stopping(Silent):
        def epoch(self, place: object, progress: object, validation: float | None) -> None:
            if getattr(place, "epoch") == epochs - 1:  # noqa: B009 - a fake's loose type
                raise Stop

    with pytest.raises(Stop):
        pretrain(begin(), images(), tmp_path / "parts", Stopping())
    assert pretrain(begin(), images(), tmp_path / "parts", Silent()) == whole


def test_without_mixing_targets_are_the_classes(tmp_path: Path) -> None:
    state = begin(replace(OPTIONS, mixup=0.0, cutmix=0.0, epochs=1, warmup_epochs=0))
    pretrain(state, images(), tmp_path, Silent())
    assert all(torch.isfinite(parameter).all() for parameter in state.model.parameters())


def test_a_loss_that_is_not_a_number_stops_it(tmp_path: Path) -> None:
    state = begin()
    state.model.head.fc.weight.data.fill_(torch.nan)
    with pytest.raises(Diverged, match="last checkpoint is good"):
        pretrain(state, images(), tmp_path, Silent())


def test_its_weights_are_a_backbones(tmp_path: Path) -> None:
    state = Pretraining.begin(
        {"img_size": 64, "patch_size": 4, "window_size": 4, "embed_dim": 48, "depths": (2, 2, 6, 2),
         "num_heads": (2, 4, 8, 16)}, 3, replace(OPTIONS, epochs=1, warmup_epochs=0, batch_size=4),
        load_backbone().preprocessing,
    )  # fmt: skip
    pixels = torch.zeros(4, 64, 64, 3, dtype=torch.uint8)
    few = PixelSet(pixels, torch.arange(4) % 3)
    pretrain(state, Images("few", few, few), tmp_path, Silent())
    backbone = load_backbone(BUNDLED, weights=tmp_path / "model.safetensors")
    shown = backbone.preprocessing.normalize(pixels)
    averaged = cast(SwinTransformer, state.average.module).eval()
    with torch.no_grad():
        expected = averaged.forward_head(averaged.forward_features(shown), pre_logits=True)
    torch.testing.assert_close(backbone(shown), expected, rtol=2e-2, atol=2e-2)  # float16 on disk


def test_a_data_set_without_a_held_back_split_is_refused(tmp_path: Path) -> None:
    for label in ("ant", "bee"):
        (tmp_path / label).mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / label / "one.png")
    with pytest.raises(MissingPath, match="held-back split is needed"):
        load_images(str(tmp_path))


def test_other_images_in_the_same_numbers_are_another_pretraining(tmp_path: Path) -> None:
    pretrain(begin(), images(), tmp_path, Silent())
    corrected = replace(images(), train=PixelSet(images().train.pixels, images().train.targets.roll(1)))
    with pytest.raises(CheckpointMismatch, match="other data"):
        pretrain(begin(), corrected, tmp_path, Silent())
