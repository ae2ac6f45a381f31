"""A comparison whose process is killed goes on to the same rows."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.compare.fakes import config, rows, runner
from tests.training.compare.killed import MAKERS, METHODS

KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.killing import Kill
from tests.training.compare.fakes import config, runner
from tests.training.compare.killed import MAKERS, METHODS
from dataclasses import replace
replace(runner(config(METHODS, Path(sys.argv[1])), MAKERS), reporter=lambda: Kill(int(sys.argv[2]))).work()
"""


@pytest.mark.parametrize("step", [10, 20])
def test_a_killed_comparison_goes_on_to_the_same_rows(step: int, tmp_path: Path) -> None:
    whole = config(METHODS, tmp_path / "whole")
    runner(whole, MAKERS).work()
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(step)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -signal.SIGKILL
    again = config(METHODS, tmp_path / "killed")
    assert runner(again, MAKERS).work()
    assert [{**row, "seconds": 0} for row in rows(again)] == [{**row, "seconds": 0} for row in rows(whole)]
