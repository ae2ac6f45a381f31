"""The run for CUDA machines: every step is taken, and one that fails stops no other. The resuming step is rehearsed."""

import json
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import Machine, Step, StepError, main, python, run


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine("cpu", tmp_path)


def test_a_step_that_fails_is_noted_and_the_next_one_runs(machine: Machine) -> None:
    def fails(_: Machine, seconds: float) -> dict[str, object]:
        raise StepError("no memory")

    found = run(machine, {"first": Step(1, fails), "second": Step(2, lambda _, seconds: {"limit": seconds})})
    assert found["first"]["failed"] == "no memory"
    assert found["second"]["result"] == {"limit": 2 * gpu.REHEARSAL_PATIENCE}


def test_a_process_that_fails_gives_the_end_of_its_output() -> None:
    with pytest.raises(StepError, match="it broke"):
        python(["-c", "import sys; print('it broke'); sys.exit(3)"], 60)


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(StepError, match="longer than"):
        python(["-c", "import threading; threading.Event().wait()"], 0.2)


def test_without_a_cuda_device_it_says_how_to_rehearse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--json", str(tmp_path / "gpu.json")]) == 2
    assert "--device cpu" in capsys.readouterr().err


def test_a_run_that_was_killed_goes_on_to_the_same_logits(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    assert main(["--json", str(path), "--device", "cpu", "--only", "resume"]) == 0
    found = json.loads(path.read_text())
    assert found["steps"]["resume"]["result"]["largest_difference"] <= gpu.SAME_LOGITS
