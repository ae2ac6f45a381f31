"""The whole demo with real parts: server, training, upload and questions; only the amounts are small."""

from dataclasses import replace
from pathlib import Path

import pytest

from mimi.demo import questions, results, steps
from mimi.demo.results import Check
from tests.training.data.trees import write_folder
from training.data import Data, load_data
from training.data.digits import DigitSet

FEW = 60  # digits to train on, and to hold back


def few_digits(name: str) -> Data:
    data = load_data(name)
    return replace(data, train=first(data.train), test=first(data.test))


def first(images: object) -> DigitSet:
    assert isinstance(images, DigitSet)
    return replace(images, targets=images.targets[:FEW], pixels=images.pixels[:FEW], rows=images.rows[:FEW])


def test_the_demo_runs_from_training_to_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "load_data", few_digits)
    monkeypatch.setattr(questions, "DIGITS", 6)
    monkeypatch.setattr(results, "FLOOR", 0.0)
    data = write_folder(tmp_path, {"even": 2, "odd": 1})
    assert steps.run_demo(port=0, data=str(data), leave=True) == 0
    out = capsys.readouterr().out
    assert f"{data} [0]" in out
    assert "FAILED" not in out
    assert "Ctrl-C" not in out


def test_one_sentence_that_is_false_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert not steps._judge([Check("good", True), Check("bad", False), Check("good again", True)])
    assert "✗ FAILED: bad" in capsys.readouterr().out
