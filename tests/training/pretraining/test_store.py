"""Targets are computed once, in shards that are complete or absent, and are the teacher's outputs for each view."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.pretraining.small import encode, plan
from training.errors import CheckpointMismatch
from training.pretraining.distill.store import fill, open_targets
from training.pretraining.distill.teacher import SIDE
from training.pretraining.distill.views import View, draw


def silent(text: str) -> None:
    pass


class Counting:
    """The tiny teacher, which counts its views and fails after some."""

    def __init__(self, after: int = 1_000_000) -> None:
        self.seen, self.after = 0, after

    def __call__(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        if self.seen > self.after:
            raise KeyboardInterrupt
        return encode(pixels)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_view_has_its_own_pixels_features_and_class(tmp_path: Path) -> None:
    shown = plan()
    fill(tmp_path, shown, 1, encode, say=silent)
    targets = open_targets(tmp_path)
    assert len(targets) == 48
    rows = torch.tensor([40, 3, 17])
    pixels, features, labels = targets.batch(rows)
    large = replace(shown.student, size=(SIDE, SIDE))
    for place, row in enumerate(rows.tolist()):
        source, image, number, label = targets.views[row].tolist()
        images = shown.sources[source].images
        seen, own = draw(images.image(image), View(source, image, number), shown.options, [large, shown.student])
        np.testing.assert_array_equal(pixels[place].numpy(), own)
        said = encode(torch.from_numpy(seen.copy())[None])[0]
        torch.testing.assert_close(features[place], said, rtol=2e-3, atol=2e-3)  # float16 on disk
        assert label == labels[place] == (images.targets[image] if source == 0 else -1)


def test_an_interrupted_store_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    fill(tmp_path / "whole", plan(), 2, encode, say=silent)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "parts", plan(), 2, Counting(after=40), say=silent)
    rest = Counting()
    fill(tmp_path / "parts", plan(), 2, rest, say=silent)
    assert rest.seen == 2 * 48 - 32  # two shards were complete
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_shard_that_was_being_written_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "round-0" / ".shard-0001.99"
    left.mkdir(parents=True)
    (left / "features.npy").write_bytes(b"half")
    fill(tmp_path, plan(), 1, encode, say=silent)
    assert not left.exists()
    assert len(open_targets(tmp_path)) == 48


def test_threads_do_not_change_what_is_stored(tmp_path: Path) -> None:
    fill(tmp_path / "one", plan(), 1, encode, say=silent)
    fill(tmp_path / "two", plan(), 1, encode, say=silent, threads=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_more_rounds_are_added_with_other_views(tmp_path: Path) -> None:
    fill(tmp_path, plan(), 1, encode, say=silent)
    before, added = contents(tmp_path), Counting()
    fill(tmp_path, plan(), 2, added, say=silent)
    assert added.seen == 48
    assert before.items() <= contents(tmp_path).items()
    names = {tuple(row) for row in open_targets(tmp_path).views[:, :3].tolist()}
    assert len(names) == len(open_targets(tmp_path)) == 96


def test_a_store_of_other_views_or_of_another_teacher_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, plan(), 1, encode, say=silent)
    for other in (replace(plan(), teacher="another"), replace(plan(), options=replace(plan().options, seed=1))):
        with pytest.raises(CheckpointMismatch, match="other views or another teacher"):
            fill(tmp_path, other, 1, encode, say=silent)


def test_views_after_a_missing_shard_are_left_out(tmp_path: Path) -> None:
    """Two threads may finish out of order: a row must go on meaning the same view."""
    fill(tmp_path, plan(), 2, encode, say=silent)
    whole = open_targets(tmp_path).views
    shutil.rmtree(tmp_path / "round-0" / "shard-0001")
    np.testing.assert_array_equal(open_targets(tmp_path).views, whole[:16])
    fill(tmp_path, plan(), 2, encode, say=silent)
    np.testing.assert_array_equal(open_targets(tmp_path).views, whole)


def test_targets_that_are_not_computed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="has no views"):
        open_targets(tmp_path)
    fill(tmp_path, plan(), 0, encode, say=silent)
    with pytest.raises(CheckpointMismatch, match="has no views"):
        open_targets(tmp_path)
