"""A comparison on a real Ray cluster of this machine: the rows of one process, also where a worker is killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import torch

from tests.training.data.trees import write_folder
from training.compare import cluster
from training.compare.command import work
from training.errors import BadConfig
from training.jsonl import Row, read_rows
from training.options import CompareRequest

pytestmark = pytest.mark.timeout(600)  # workers import torch, which takes its time on a busy machine

ROOT = Path(__file__).parents[3]
PATIENCE = 300.0  # seconds
CONFIG = """
cycles = 2
seeds = [0, 1]
rates = [1e-3]
validation = 0.25
runs = "runs.jsonl"
work = "work"
[data.pets]
epochs = 1
batch_size = 4
[methods]
linear-probe = {}
lora = {}
"""


def prepared(folder: Path) -> Path:
    """A folder with images and a comparison, whose relative paths are meant there."""
    write_folder(folder / "pets", {"ant": 16, "cat": 16})
    (folder / "compare.toml").write_text(CONFIG)
    return folder


@contextmanager
def spread(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The comparison on a cluster that it starts, in a process of its own."""
    words = ["-m", "training", "compare", "compare.toml", "--data", ".", "--device", "cpu", "--ray", "local"]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([sys.executable, *words], cwd=folder, env=given, stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def rows(folder: Path) -> list[Row]:
    """In an order of their own, without times."""
    found = [{**row, "seconds": 0} for row in read_rows(folder / "runs.jsonl")]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


def kill_the_first_with_a_cell(folder: Path, driver: "subprocess.Popen[bytes]") -> None:
    """Kill a worker that holds the lock of a cell."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert driver.poll() is None, (folder / "said").read_text()
        for worker in psutil.Process(driver.pid).children(recursive=True):
            if holds_a_cell(worker, folder):
                worker.kill()
                return
        time.sleep(0.02)
    pytest.fail("no worker had a cell")


def holds_a_cell(process: psutil.Process, folder: Path) -> bool:
    try:
        held = [Path(each.path) for each in process.open_files()]
    except psutil.Error:  # it has just ended
        return False
    return any(path.suffix == ".lock" and path.is_relative_to(folder) for path in held)


def test_a_cell_whose_worker_is_killed_is_done_again_and_all_rows_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepared(tmp_path / "spread")
    with spread(folder) as process:
        kill_the_first_with_a_cell(folder, process)
        assert process.wait(PATIENCE) == 0, (folder / "said").read_text()
    torch.set_num_threads(1)
    monkeypatch.chdir(prepared(tmp_path / "alone"))
    assert work(Path("compare.toml"), CompareRequest(device="cpu"))
    assert rows(folder) == rows(tmp_path / "alone")
    assert len(rows(folder)) == 6


def test_what_a_cluster_cannot_do_is_refused_before_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compare.toml").write_text(CONFIG)
    with pytest.raises(BadConfig, match="has no number"):
        work(tmp_path / "compare.toml", CompareRequest(ray="auto", device="cuda:1"))
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(BadConfig, match="pip install"):
        work(tmp_path / "compare.toml", CompareRequest(ray="auto"))
    with pytest.raises(BadConfig, match="cell_cpus"):
        CompareRequest(cell_cpus=0)
