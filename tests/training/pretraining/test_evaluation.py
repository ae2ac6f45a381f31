"""Frozen features are judged by their neighbours and by linear probes, without their test halves unless asked for."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbone import Preprocessing
from tests.training.data.trees import Cell, write_parquet
from tests.training.pretraining.small import PREPROCESSING
from training.data.errors import MissingPath
from training.pretraining.distill.evaluation import (
    NEAREST,
    PROBED,
    Encoder,
    evaluate,
    few_of_each,
    nearest,
    of_teacher,
    probe,
)
from training.pretraining.distill.teacher import Teacher, new_network

COLOURS = Encoder(PREPROCESSING, lambda pixels: pixels.float().mean((1, 2)))


def square(label: int, index: int) -> Cell:
    """Noise with one bright channel for each class."""
    pixels = np.random.default_rng(index).integers(0, 120, (12, 12, 3))
    pixels[:, :, label] += 100
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write_set(folder: Path, held_back: str | None, *, wrong: bool = False) -> None:
    """Three classes; where `wrong`, the held-back half has its labels turned round."""
    labels = [0, 1, 2] * 10
    images = [square(label, index) for index, label in enumerate(labels)]
    write_parquet(folder / "train.parquet", labels, images=images)
    if held_back:
        said = [(label + 1) % 3 for label in labels] if wrong else labels
        write_parquet(folder / f"{held_back}.parquet", said, images=images)


def test_probes_judge_test_halves_only_where_asked(tmp_path: Path) -> None:
    write_set(tmp_path / NEAREST, "validation")
    for name in PROBED:
        write_set(tmp_path / name, "test", wrong=True)
    told: list[str] = []
    found = evaluate(COLOURS, tmp_path, each=0, probes=True, test=False, say=told.append)
    assert set(found) == {f"nearest {NEAREST}", *(f"probe {name}" for name in PROBED)}
    assert min(found.values()) == 1.0
    assert len(told) == 1 + len(PROBED)
    asked = evaluate(COLOURS, tmp_path, each=5, probes=True, test=True, say=told.append)
    assert asked[f"probe {PROBED[0]}"] == 0.0
    assert set(evaluate(COLOURS, tmp_path, each=5, probes=False, test=False, say=told.append)) == {f"nearest {NEAREST}"}


def test_a_set_without_a_held_back_half_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / NEAREST, None)
    with pytest.raises(MissingPath, match="held-back split"):
        evaluate(COLOURS, tmp_path, each=0, probes=False, test=False, say=lambda text: None)


def test_neighbours_vote_by_their_cosine() -> None:
    """One near neighbour of class 1 outweighs many far ones of class 0."""
    generator = torch.Generator().manual_seed(0)
    far = torch.randn(30, 8, generator=generator)
    bank = torch.cat([far, torch.eye(8)[:1] * 3])
    labels = torch.tensor([0] * 30 + [1])
    asked = bank[-1:] * 1.1
    assert nearest(bank, labels, asked, torch.tensor([1])) == 1.0
    assert nearest(bank, labels, asked, torch.tensor([0])) == 0.0


def test_a_probe_finds_a_line_and_no_line_in_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 6, generator=generator)
    labels = (features[:, 0] > 0).long()
    features[:, 0] += 2.0 * labels - 1  # apart by a margin
    assert probe(features[:300], labels[:300], features[300:], labels[300:]) > 0.95
    noise = torch.randint(0, 2, (400,), generator=generator)
    assert probe(features[:300], noise[:300], features[300:], noise[300:]) < 0.65


def test_few_images_of_each_class_are_taken() -> None:
    targets = np.array([1, 0, 1, 1, 0])
    assert few_of_each(targets, 2).tolist() == [0, 1, 2, 4]
    assert few_of_each(targets, 0).tolist() == [0, 1, 2, 3, 4]


def test_the_teacher_is_judged_by_its_class_token_and_mean_patch() -> None:
    torch.manual_seed(0)
    teacher = Teacher(new_network())
    like = Preprocessing((64, 64), 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)
    encoder = of_teacher(teacher, like)
    assert encoder.preprocessing.size == (98, 98)
    pixels = torch.randint(0, 256, (2, 98, 98, 3), dtype=torch.uint8)
    with torch.inference_mode():
        found, said = encoder.features(pixels), teacher(pixels)
    assert found.shape == (2, 768)
    assert torch.equal(found[:, :384], said[:, 0])
