"""Launches are counted as a GPU would see them: fewer the more is recorded."""

import json
from pathlib import Path

import torch

from benchmarks.studies.launches import Launches, main


def test_views_launch_nothing_and_all_else_does() -> None:
    x = torch.zeros(4, 4)
    assert Launches().of(lambda: x.view(16)[2:].add_(1) @ torch.ones(14)) == 3  # sum, ones, product


def test_recordings_leave_few_launches(tmp_path: Path) -> None:
    assert main(["--json", str(tmp_path / "launches.json")]) == 0
    (kinds,) = json.loads((tmp_path / "launches.json").read_text())["launches"].values()
    for each in kinds.values():
        assert each["whole"] < each["steps"] < each["eager"]
    assert kinds["bare"]["eager"] < kinds["adapted"]["eager"]
    assert kinds["bare"]["whole"] == kinds["adapted"]["whole"]
