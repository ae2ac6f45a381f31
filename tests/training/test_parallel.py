"""Two processes train what one does: the same pruning, the same weights but for rounding, one writer of files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters_store import TaskAdapter, unpack
from training.parallel import ALONE, World, backend_for

WORKER = Path(__file__).with_name("parallel_worker.py")
ROOT = WORKER.parents[2]


def train(folder: Path, processes: int, views: int = 0, *rates: float) -> TaskAdapter:
    """The adapter that `processes` processes make; with `rates`, after a search among them."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start, str(WORKER), str(folder), str(views), *map(str, rates)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return unpack((folder / "adapter.safetensors").read_bytes())


@pytest.mark.parametrize("views", [0, 2])
def test_two_processes_train_what_one_does(tmp_path: Path, views: int) -> None:
    alone, together = train(tmp_path / "alone", 1, views), train(tmp_path / "together", 2, views)
    assert together.manifest.widths == alone.manifest.widths
    for site, arrays in alone.sites.items():
        np.testing.assert_allclose(together.sites[site].down, arrays.down, atol=2e-3)
        np.testing.assert_allclose(together.sites[site].up, arrays.up, atol=2e-3)
    np.testing.assert_allclose(together.golden_logits, alone.golden_logits, atol=2e-3)


def test_two_processes_search_for_a_rate_and_end(tmp_path: Path) -> None:
    """The last rate wins: a process that does not wait would resume a checkpoint of an earlier epoch, and hang."""
    adapter = train(tmp_path, 2, 0, 1e-7, 5e-3)
    assert adapter.manifest.provenance.metrics["learning_rate"] == 5e-3


def test_shares_of_a_batch_are_all_of_it_and_weigh_one() -> None:
    rows = torch.arange(7)
    shares = [World(rank, 3).share(7) for rank in range(3)]
    assert torch.cat([rows[part] for part, _ in shares]).tolist() == rows.tolist()
    assert sum(weight for _, weight in shares) == pytest.approx(1)


def test_a_process_without_rows_computes_one_that_counts_nothing() -> None:
    part, weight = World(1, 2).share(1)
    assert (torch.tensor([5])[part].tolist(), weight) == ([5], 0.0)


def test_alone_nothing_is_shared() -> None:
    assert ALONE.share(4) == (slice(0, 4), 1.0)
    assert ALONE.first


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "nccl"), ("cuda:1", "nccl")])
def test_processes_speak_the_language_of_the_device_they_train_on(
    device: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert backend_for(device) == backend
