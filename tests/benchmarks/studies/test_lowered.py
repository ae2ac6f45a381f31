"""The same task three ways: close in its logits, each label counted, each way timed."""

import json
from pathlib import Path

import pytest
import torch

from backbone.kernels import multiplies
from benchmarks.studies import lowered
from benchmarks.studies.lowered import BF16, FP32, INT8, MODULES, main, parse

OPTIONS = ["--only", "digits", "--quick", "--threads", "1", "--batch", "1", "--rounds", "15"]


def test_too_few_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--data", ".", "--json", "x.json", "--rounds", "14"])
    assert "--rounds" in capsys.readouterr().err


def test_another_processor_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowered, "multiplies", lambda _precision: False)
    assert main(["--data", str(tmp_path), "--json", str(tmp_path / "out.json"), *OPTIONS]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not multiplies("bf16"), reason="needs a processor with AVX-512 BF16")
def test_a_run_compares_three_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, out = torch.get_num_threads(), tmp_path / "out.json"
    assert main(["--data", str(tmp_path), "--json", str(out), *OPTIONS]) == 0
    torch.set_num_threads(before)
    result = json.loads(out.read_text())
    (task,), (timed,) = result["tasks"], result["latency"]
    assert set(task["variants"]) == {MODULES, FP32, BF16, INT8} == set(timed["times"])
    assert task["variants"][BF16]["top1"] > 0.9
    assert task["largest_difference"][FP32] < 1e-3 < task["largest_difference"][BF16] < 0.5
    assert "| digits | 48 |" in capsys.readouterr().out
