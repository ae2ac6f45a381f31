"""A comparison in bfloat16: every method near its float32 self, with the same parameters and the same cost."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from backbone import Backbone
from tests.training.compare.fakes import FIT, config, trial
from tests.training.small import small_backbone, small_prepared
from training.compare.candidate import Trial
from training.compare.catalogue import catalogue
from training.compare.config import MethodConfig
from training.compare.generic import Training
from training.compare.matrix import Entry, arena_of
from training.compare.plan import measured
from training.errors import BadConfig, CheckpointMismatch
from training.fit import logits_of
from training.frozen import FrozenLinear
from training.methods import METHODS
from training.model import TaskModel
from training.options import Precision


def at(folder: Path, precision: Precision) -> Trial:
    return replace(trial(folder / precision / "rate-0.005"), precision=precision)


def begun(folder: Path, name: str, precision: Precision) -> Training:
    return Training.begin(at(folder, precision), METHODS[name].build, 1)


def linears(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


@pytest.mark.parametrize("name", METHODS)
def test_each_method_computes_nearly_the_same_and_trains_the_same(tmp_path: Path, name: str) -> None:
    plain, lowered = (begun(tmp_path, name, precision) for precision in ("fp32", "bf16"))
    shapes = [{key: value.shape for key, value in each.model.task_parameters().items()} for each in (plain, lowered)]
    assert shapes[0] == shapes[1]
    assert all(value.dtype == torch.float32 for value in lowered.model.task_parameters().values())
    pixels = small_prepared().validation.pixels
    with torch.no_grad():
        expected, found = (logits_of(each.model.eval(), pixels) for each in (plain, lowered))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    if name not in ("full", "full-adapters"):  # there no weight is frozen
        assert linears(lowered.model, FrozenLinear) > 0
        assert not torch.equal(found, expected)
    assert linears(plain.model, FrozenLinear) == linears(plain.trial.backbone, FrozenLinear) == 0


@pytest.mark.parametrize("name", ["bitfit", "lora", "adapters-n1", "mimi"])
def test_its_rows_have_the_cost_of_float32(tmp_path: Path, name: str) -> None:
    made = catalogue(sites=8)[name](MethodConfig(label=name, method=name), 2)
    found = [list(made.train(at(tmp_path, precision))) for precision in ("fp32", "bf16")]
    counted = ("gflops", "adapter_params", "paper_params", "shared_gflops")
    assert [[row[key] for key in counted] for row in found[0]] == [[row[key] for key in counted] for row in found[1]]


def test_a_bias_that_trains_has_its_gradient() -> None:
    linear = nn.Linear(8, 4)
    linear.weight.requires_grad_(False)
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    layers = (FrozenLinear(linear), linear)
    found, expected = (torch.autograd.grad(layer(x).square().sum(), linear.bias)[0] for layer in layers)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.2)


def test_a_training_does_not_go_on_in_another_precision(tmp_path: Path) -> None:
    same = trial(tmp_path / "same")
    Training.begin(same, METHODS["lora"].build, 1).fit_cycle(0)
    with pytest.raises(CheckpointMismatch, match="precision"):
        Training.begin(replace(same, precision="bf16"), METHODS["lora"].build, 1)


def test_the_precision_is_the_comparisons_and_part_of_the_arena(tmp_path: Path) -> None:
    plain = config("lora = {}", tmp_path)
    lowered = replace(plain, precision="bf16")
    assert arena_of(plain, plain.data[0]) != arena_of(lowered, lowered.data[0])
    with pytest.raises(BadConfig, match="unknown key 'precision'"):
        catalogue(sites=8)["mimi"](MethodConfig(label="mimi", method="mimi", options={"precision": "bf16"}), 2)


def test_a_plan_measures_at_the_precision_of_the_comparison() -> None:
    models: list[TaskModel] = []

    def remembered(backbone: Backbone, classes: int, seed: int) -> TaskModel:
        models.append(METHODS["lora"].build(backbone, classes, seed))
        return models[-1]

    made = catalogue(sites=8)["lora"](MethodConfig(label="lora", method="lora"), 2)
    entry = Entry(MethodConfig(label="lora", method="lora"), replace(made, model=remembered), made.rates)
    backbone = small_backbone()
    measured(entry, backbone, FIT, 3, precision="bf16")
    assert models[0].precision == "bf16"
    assert models[0].frozen.original is backbone
    assert linears(models[0], FrozenLinear) > 0
