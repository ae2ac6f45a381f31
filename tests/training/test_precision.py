"""With bf16 products are in bfloat16, and nothing else changes; on CUDA by autocast, on a CPU by our own layers.

A CPU stands in for CUDA: it has the same autocast.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from adapters_store import unpack
from backbone import Backbone
from tests.training.small import small_backbone, small_options, small_prepared, small_set
from training import precision
from training.cut import Cut
from training.export import golden_logits
from training.fit import logits_of
from training.mimi import Job, close_cycle, fit_cycle, train_mimi
from training.model import AdaptedModel
from training.options import Precision
from training.precision import autocast, lowers, resident
from training.prefix import PrefixCache
from training.progress import Silent
from training.run import Run

WIDTHS = (2, 0, 5, 3)
CPU = torch.device("cpu")


@pytest.fixture
def as_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_casts", lambda device: True)


def logits_and_gradients(model: AdaptedModel, pixels: Tensor) -> list[Tensor]:
    logits = logits_of(model, pixels)
    return [logits, *torch.autograd.grad(logits.square().sum(), list(model.task_parameters().values()))]


def lowered_model(backbone: Backbone) -> AdaptedModel:
    model = AdaptedModel(resident(backbone, "bf16"), WIDTHS, 3)
    model.precision = "bf16"
    return model


@pytest.mark.parametrize(("precision", "expected"), [("auto", False), ("fp32", False), ("bf16", True)])
def test_a_cpu_keeps_the_backbone_as_it_is_unless_told(precision: Precision, expected: bool) -> None:
    backbone = small_backbone()
    assert (resident(backbone, precision) is not backbone) == expected
    with autocast(CPU, precision):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("precision", "expected"), [("auto", True), ("fp32", False), ("bf16", True)])
def test_cuda_lowers_unless_told(precision: Precision, expected: bool) -> None:
    assert lowers(torch.device("cuda"), precision) == expected


@pytest.mark.usefixtures("as_cuda")
@pytest.mark.parametrize(("precision", "expected"), [("fp32", False), ("bf16", True)])
def test_autocast_is_on_where_it_lowers(precision: Precision, expected: bool) -> None:
    with autocast(CPU, precision):
        assert torch.is_autocast_enabled("cpu") == expected


@pytest.mark.usefixtures("as_cuda")
def test_products_are_stored_in_bfloat16_norms_and_positions_and_the_original_are_not() -> None:
    backbone = small_backbone()
    stored = resident(backbone, "bf16")
    kinds = {nn.Linear: torch.bfloat16, nn.Conv2d: torch.bfloat16, nn.LayerNorm: torch.float32}
    for module in stored.modules():
        for parameter in module.parameters(recurse=False):
            assert parameter.dtype == kinds.get(type(module), torch.float32)
    assert {value.dtype for value in backbone.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert stored.fingerprint == backbone.fingerprint


@pytest.mark.usefixtures("as_cuda")
def test_stored_in_bfloat16_gives_the_bits_that_autocast_gives() -> None:
    backbone, pixels = small_backbone(), small_set(20, 0).pixels
    cast, stored = AdaptedModel(backbone, WIDTHS, 3), lowered_model(backbone)
    cast.precision = "bf16"
    for a, b in zip(logits_and_gradients(cast, pixels), logits_and_gradients(stored, pixels), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("as_cuda")
def test_the_cached_prefix_is_computed_in_the_device_s_numbers() -> None:
    backbone, images = resident(small_backbone(), "bf16"), small_set(20, 0)
    inputs = PrefixCache(images).inputs(backbone, 0, Cut(2, branch=True), "bf16")
    with torch.no_grad(), autocast(CPU, "bf16"):
        x = backbone.advance(backbone.embed(backbone.preprocessing.normalize(images.pixels)), 0, 2)
        assert torch.equal(inputs, torch.stack(backbone.sites[2].opened(x), 1))


@pytest.mark.parametrize("device", ["cpu", "as_cuda"])
def test_a_run_in_bfloat16_trains_float32_and_writes_what_float32_computes(
    device: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if device != "cpu":
        request.getfixturevalue(device)
    job = Job(small_prepared(), small_backbone(), small_options(precision="bf16"), tmp_path)
    adapter = unpack(train_mimi(job).adapter)
    tensors = load_file(tmp_path / "checkpoint.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}, "weights and moments"
    np.testing.assert_array_equal(adapter.golden_logits, golden_logits(job.backbone, adapter))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_run_holds_its_products_in_bfloat16(tmp_path: Path) -> None:
    backbone = small_backbone().to("cuda")
    run = Run.begin(small_prepared(), backbone, small_options(), tmp_path)
    assert {module.weight.dtype for module in run.model.backbone.modules() if isinstance(module, nn.Linear)} == {
        torch.bfloat16
    }
    fit_cycle(run, Silent())
    close_cycle(run, Silent())
    assert {parameter.dtype for parameter in run.model.task_parameters().values()} == {torch.float32}
