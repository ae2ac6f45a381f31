"""The same task with and without int8 products is compared, and every label that differs is counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.studies.int8 import PLAIN, VARIANTS, accuracy, main, parse


def test_images_that_one_side_alone_gets_right_are_counted() -> None:
    found = {"fp32": np.array([0, 1, 2, 3]), "dynamic": np.array([0, 2, 2, 1])}
    targets = np.array([0, 1, 0, 1])
    assert accuracy(found, targets)["dynamic"] == {"top1": 0.5, "same_label": 0.5, "lost": 1, "won": 1}
    assert accuracy(found, targets)["fp32"] == {"top1": 0.5, "same_label": 1.0, "lost": 0, "won": 0}


def test_too_few_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--data", ".", "--json", "x.json", "--rounds", "14"])
    assert "--rounds" in capsys.readouterr().err


def test_a_run_compares_every_variant_with_float32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, out = torch.get_num_threads(), tmp_path / "out.json"
    options = ["--only", "digits", "--quick", "--threads", "1", "--batch", "1", "--rounds", "15"]
    assert main(["--data", str(tmp_path), "--json", str(out), *options]) == 0
    torch.set_num_threads(before)
    result = json.loads(out.read_text())
    (task,), (timed,) = result["tasks"], result["latency"]
    assert set(task["variants"]) == {PLAIN, *VARIANTS} == set(task["bytes"])
    assert task["variants"][PLAIN]["top1"] > 0.9
    assert all(task["bytes"][name] < 0.5 * task["bytes"][PLAIN] for name in VARIANTS)
    assert set(timed["against_fp32"]) == set(VARIANTS)
    assert {len(each["seconds"]) for each in timed["times"].values()} == {15}
    assert "| digits | 48 |" in capsys.readouterr().out
