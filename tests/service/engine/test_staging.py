"""Equal images count as one, whatever array they lie in; what enters the backbone is checked and normalised."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone import Backbone
from service.engine import Engine, Resident, Row
from service.engine.core import number, stage
from tests.service.engine.gate import Picture


def test_an_image_is_known_by_its_content(pixels: Picture) -> None:
    one, other = pixels(0), pixels(1)
    assert number([one, other, one.copy(), other, one]) == [0, 1, 0, 1, 0]


@given(st.integers(0, 64 * 64 * 3 - 1))
def test_one_byte_makes_another_image(index: int) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    changed = image.copy()
    changed.reshape(-1)[index] = 1
    assert number([image, changed, image]) == [0, 1, 0]


def test_raw_and_normalised_images_are_never_the_same() -> None:
    assert number([np.zeros((3, 8, 8), np.float32), np.zeros((8, 8, 3), np.uint8)]) == [0, 1]


def test_a_normalised_image_is_taken_as_it_is_beside_raw_ones(backbone: Backbone, pixels: Picture) -> None:
    raw = pixels(0)
    ready = backbone.preprocessing.normalize(torch.from_numpy(raw[None]))[0].numpy()
    for images in ([raw], [ready], [raw, ready], [ready, raw, ready]):
        staged = stage(backbone.preprocessing, images)
        assert torch.equal(staged, torch.from_numpy(ready).expand(len(images), -1, -1, -1))


def test_a_normalised_image_answers_as_the_raw_one(engine: Engine, residents: list[Resident], pixels: Picture) -> None:
    ready = engine.backbone.preprocessing.normalize(torch.from_numpy(pixels(0)[None]))[0].numpy()
    raw, same = engine.run([Row(residents[1], pixels(0)), Row(residents[1], ready)])
    np.testing.assert_allclose(raw.logits, same.logits, atol=1e-5)


@pytest.mark.parametrize(
    "image",
    [
        np.full((3, 64, 64), np.nan, np.float32),
        np.full((3, 64, 64), np.inf, np.float32),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((3, 64, 64), np.float64),
        np.zeros((3, 64, 64), np.uint8),
    ],
)
def test_what_no_backbone_reads_is_refused(backbone: Backbone, pixels: Picture, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels must be"):
        stage(backbone.preprocessing, [pixels(0), image])
