"""The comparison is fair by construction: same backbone, same head, as many neurons; the JSON says what was run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone import flops_of, load_backbone
from benchmarks.studies.pruned import baselines, main, parse, spread
from benchmarks.synthetic import task_bytes

WIDTHS = [0] * 18 + [3, 0, 5, 1, 2, 9]


@given(neurons=st.integers(0, 5000), weights=st.lists(st.integers(1, 96), min_size=1, max_size=24))
def test_spreading_keeps_every_neuron(neurons: int, weights: list[int]) -> None:
    widths = spread(neurons, weights)
    assert sum(widths) == neurons
    assert all(abs(w - neurons * share / sum(weights)) < 1 for w, share in zip(widths, weights, strict=True))


def test_baselines_are_the_start_the_same_neurons_elsewhere_and_none() -> None:
    assert baselines([0, 0, 6], [4, 4, 8]) == {
        "cycle0": [4, 4, 8],
        "spread_evenly": [2, 2, 2],
        "spread_in_proportion": [1, 2, 3],
        "bare": [0, 0, 0],
    }


@pytest.mark.parametrize("wrong", [["--rounds", "14"], ["--backbone", "swin_tiny_patch4_window7_224"]])
def test_what_would_mislead_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--json", "x.json", *wrong])
    assert wrong[0] in capsys.readouterr().err


@pytest.fixture
def one_thread() -> Iterator[str]:
    before = torch.get_num_threads()
    yield "1"
    torch.set_num_threads(before)


def test_a_run_counts_flops_and_pairs_times(
    tmp_path: Path, one_thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone, artifact, out = load_backbone(), tmp_path / "task.safetensors", tmp_path / "out.json"
    artifact.write_bytes(task_bytes(backbone, WIDTHS, classes=4, seed=0, initial_widths=[12] * 24))
    options = ["--artifact", str(artifact), "--rounds", "15", "--batch", "1", "--threads", one_thread]
    assert main(["--json", str(out), *options]) == 0
    result = json.loads(out.read_text())
    for name, widths in result["widths"].items():
        assert result["flops_per_image"][name] == flops_of(backbone, widths, 4)
    (run,) = result["runs"]
    assert {len(each["seconds"]) for each in run["times"].values()} == {15}
    for compared in run["comparisons"].values():
        ratio = compared["time_ratio"]
        assert ratio["low"] <= ratio["median"] <= ratio["high"]
        assert compared["pruned_is_faster"] == (compared["seconds_saved"]["low"] > 0)
    assert "cycle0" in capsys.readouterr().out
