"""The scalars that are written for TensorBoard."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.cycles import CycleResult
from training.fit import Progress
from training.progress import Position
from training.report.board import Board
from training.report.errors import MissingExtra


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Step and value of every point of a curve."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(tag)]


def test_curves_are_over_images_seen_in_all_cycles(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.step(Position(0, 2, 0, 3), Progress(50, 100, 1.5, 0.25, 0.01))
    place, last = Position(1, 2, 2, 3), Progress(100, 100, 0.5, 0.75, 0.02)
    board.step(place, last)
    board.epoch(place, last, 0.625)
    board.epoch(place, last, None)
    board.cycle(CycleResult(1, (0, 3), 100, 10, 1, 1, 0.125, 0.5))
    board.say("nothing")
    board.close()
    assert scalars(tmp_path, "train/loss") == [(50, 1.5), (600, 0.5)]
    assert scalars(tmp_path, "train/top1") == [(50, 0.25), (600, 0.75)]
    assert scalars(tmp_path, "train/learning_rate") == [(50, 0.01), (600, 0.02)]
    assert scalars(tmp_path, "validation/top1") == [(600, 0.625)]
    assert scalars(tmp_path, "size/neurons") == [(600, 3.0)]
    assert scalars(tmp_path, "size/rank_correlation") == [(600, 0.125)]


def test_every_learning_rate_that_is_tried_has_its_own_curves(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for rate in (0.5, 0.25):
        board.step(Position(0, 1, 0, 1, rate), Progress(1, 1, rate, 0.0, rate))
    board.close()
    assert [scalars(tmp_path / f"rate-{rate:g}", "train/loss") for rate in (0.5, 0.25)] == [[(1, 0.5)], [(1, 0.25)]]


def test_without_tensorboard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match="tensorboard is not installed"):
        Board(tmp_path)
