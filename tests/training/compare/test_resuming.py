"""Registered methods that were stopped go on to the same bits, whatever state they keep beside their weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.compare.fakes import FIT, trial
from tests.training.compare.test_candidate import Stop, StopAt
from training.compare.candidate import Trial
from training.compare.catalogue import flops
from training.compare.config import MethodConfig
from training.compare.generic import of_method
from training.jsonl import Row
from training.methods import METHODS, merged


def trained(name: str, at: Trial) -> list[Row]:
    method = METHODS[name]
    make = of_method(method.build, served=merged if method.mergeable else None)
    rows = make(MethodConfig(label=name, method=name), 3).train(replace(at, cost=flops))
    return [{**row, "seconds": 0} for row in rows]


# fact-tk multiplies small odd matrices, whose product has other bits where a matrix does not lie at a round address.
@pytest.mark.parametrize("name", ["fact-tk", "adalora", "bitfit", "vpt-10"])
def test_a_stopped_method_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    fit = replace(FIT, epochs=1)
    whole, stopped = trial(tmp_path / "whole", fit=fit), trial(tmp_path / "stopped", fit=fit)
    expected = trained(name, whole)
    with pytest.raises(Stop):
        trained(name, replace(stopped, reporter=StopAt(5)))
    assert trained(name, stopped) == expected
    left, right = (load_file(at.folder / "checkpoint.safetensors") for at in (whole, stopped))
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []


def test_what_merges_costs_what_the_bare_network_costs_and_says_what_it_cost_before(tmp_path: Path) -> None:
    at = trial(tmp_path, fit=replace(FIT, epochs=1))
    row = trained("lora", at)[-1]
    assert row["gflops"] * 1e9 == pytest.approx(at.backbone.flops + 2 * at.backbone.feature_dim * 3)
    assert row["gflops_paper"] < row["gflops"] < row["gflops_unmerged"]
