"""The frozen backbone in bfloat16 and compiled: the bits of autocast, close to float32, and nothing else changes.

A CPU stands in for CUDA where autocast is tested: it has the same autocast.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from adapters_store import unpack
from backbone import Backbone, load_backbone
from backbone.kernels import multiplies
from tests.training.small import small_backbone, small_options, small_prepared, small_set
from training import frozen
from training.export import golden_outputs
from training.fit import logits_of
from training.frozen import FrozenBackbone, FrozenLinear, autocast, compiled, frozen_backbone, lowers
from training.mimi import Job, close_cycle, fit_cycle, train_mimi
from training.model import AdaptedModel
from training.options import Precision
from training.prefix import Cut, PrefixCache
from training.progress import Silent
from training.run import Run


@pytest.mark.parametrize("bias", [True, False])
def test_a_frozen_layer_gives_and_passes_back_the_bits_of_autocast(bias: bool) -> None:
    draws = torch.Generator().manual_seed(0)
    linear = nn.Linear(48, 96, bias=bias).requires_grad_(False)
    x = torch.randn(3, 5, 48, generator=draws).requires_grad_()
    gradient = torch.randn(3, 5, 96, generator=draws)
    y = FrozenLinear(linear)(x)
    with torch.autocast("cpu", torch.bfloat16):
        expected = linear(x).float()
    assert torch.equal(y, expected)
    assert y.dtype == torch.float32
    assert torch.equal(*(torch.autograd.grad(out, x, gradient)[0] for out in (y, expected)))


def test_the_gradient_is_that_of_the_product_to_the_second_order() -> None:
    layer = FrozenLinear(nn.Linear(8, 4))
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    weight = layer.weight.float()
    torch.testing.assert_close(first, 2 * layer(x) @ weight, rtol=0.02, atol=0.02)
    (second,) = torch.autograd.grad(first.sum(), x)
    hessian = 2 * weight.T @ weight
    torch.testing.assert_close(second, hessian.sum(0).repeat(2, 1), rtol=0.02, atol=0.02)


def test_logits_and_gradients_stay_near_those_of_float32() -> None:
    draws = torch.Generator().manual_seed(0)
    backbone, pixels = load_backbone(), torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8, generator=draws)
    widths = [3 if site.index % 3 == 0 else 0 for site in backbone.sites]
    found = []
    for network in (backbone, frozen_backbone(backbone, "bf16")):
        model = AdaptedModel(network, widths, 10)
        logits = logits_of(model, pixels)
        gradients = torch.autograd.grad(logits.square().sum(), list(model.task_parameters().values()))
        found.append((logits, torch.cat([gradient.flatten() for gradient in gradients])))
    for exact, rounded in zip(*found, strict=True):
        assert 0 < (exact - rounded).norm() / exact.norm() < 0.02
    assert {layer.weight.dtype for layer in backbone.modules() if isinstance(layer, nn.Linear)} == {torch.float32}


@pytest.mark.skipif(not multiplies("bf16"), reason="needs a processor with AVX-512 BF16")
def test_the_prefix_is_computed_by_kernels_in_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = load_backbone()
    frozen = frozen_backbone(backbone, "bf16")
    lowered, kernels, exact = frozen.backbone, frozen.bare, frozen_backbone(backbone, "fp32").bare
    assert kernels.compiled == len(backbone.sites)
    x = torch.randn(2, 16, 16, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        by_kernels, by_layers = kernels.advance(x, 0, 8), lowered.advance(x, 0, 8)
        expected = exact.advance(x, 0, 8)
    for given in (by_kernels, by_layers):
        assert 1e-4 < (given - expected).norm() / expected.norm() < 1e-2


WIDTHS = (2, 0, 5, 3)
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch hides its own, but not from an error


def logits_and_gradients(model: AdaptedModel, pixels: Tensor) -> list[Tensor]:
    logits = logits_of(model, pixels)
    return [logits, *torch.autograd.grad(logits.square().sum(), list(model.task_parameters().values()))]


def check_pair(plain: AdaptedModel, fast: AdaptedModel, images: int, *, tolerance: float) -> None:
    pixels = small_set(images, 0).pixels
    for expected, given in zip(logits_and_gradients(plain, pixels), logits_and_gradients(fast, pixels), strict=True):
        torch.testing.assert_close(given, expected, rtol=0, atol=tolerance * float(expected.detach().abs().max()))


def both(precision: Precision, backend: str) -> tuple[AdaptedModel, AdaptedModel]:
    plain = frozen_backbone(small_backbone(), precision)
    fast = FrozenBackbone(plain.original, compiled(plain.backbone, backend), precision)
    return AdaptedModel(plain, WIDTHS, 3), AdaptedModel(fast, WIDTHS, 3)


def test_compiled_sub_layers_give_what_their_modules_give() -> None:
    check_pair(*both("fp32", "inductor"), 8, tolerance=1e-5)


def test_batches_of_any_size_pass_through_what_is_compiled() -> None:
    plain, fast = both("bf16", "eager")
    for images in (8, 5):
        check_pair(plain, fast, images, tolerance=1e-5)


def test_a_run_compiles_its_own_copy_and_writes_what_the_original_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []

    def recorded(backbone: Backbone) -> Backbone:
        copies.append(compiled(backbone, "eager"))
        return copies[-1]

    monkeypatch.setattr(frozen, "compiled", recorded)
    job = Job(small_prepared(), small_backbone(), small_options(compile=True, target_sigma=16.0), tmp_path)
    adapter = unpack(train_mimi(job).adapter)
    np.testing.assert_array_equal(adapter.golden_logits, golden_outputs(job.backbone, adapter).logits)
    assert len(copies) == 1
    assert all(site.branch._compiled_call_impl for site in copies[0].sites)
    assert not any(site.branch._compiled_call_impl for site in job.backbone.sites)


CPU = torch.device("cpu")


@pytest.fixture
def as_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_casts", lambda device: True)


def lowered_model(backbone: Backbone) -> AdaptedModel:
    return AdaptedModel(frozen_backbone(backbone, "bf16"), WIDTHS, 3)


@pytest.mark.parametrize(("precision", "expected"), [("auto", False), ("fp32", False), ("bf16", True)])
def test_a_cpu_keeps_the_backbone_as_it_is_unless_told(precision: Precision, expected: bool) -> None:
    backbone = small_backbone()
    assert (frozen_backbone(backbone, precision).backbone is not backbone) == expected
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
    stored = frozen_backbone(backbone, "bf16").backbone
    kinds = {nn.Linear: torch.bfloat16, nn.Conv2d: torch.bfloat16, nn.LayerNorm: torch.float32}
    for module in stored.modules():
        for parameter in module.parameters(recurse=False):
            assert parameter.dtype == kinds.get(type(module), torch.float32)
    assert {value.dtype for value in backbone.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert stored.fingerprint == backbone.fingerprint


@pytest.mark.usefixtures("as_cuda")
def test_stored_in_bfloat16_gives_the_bits_that_autocast_gives() -> None:
    backbone, pixels = small_backbone(), small_set(20, 0).pixels
    cast = AdaptedModel(FrozenBackbone(backbone, backbone, "bf16"), WIDTHS, 3)
    stored = lowered_model(backbone)
    for a, b in zip(logits_and_gradients(cast, pixels), logits_and_gradients(stored, pixels), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("as_cuda")
def test_the_cached_prefix_is_computed_in_the_device_s_numbers() -> None:
    frozen, images = frozen_backbone(small_backbone(), "bf16"), small_set(20, 0)
    inputs, backbone = PrefixCache(images).inputs(frozen, 0, Cut(2, branch=True)), frozen.backbone
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
    np.testing.assert_array_equal(adapter.golden_logits, golden_outputs(job.backbone, adapter).logits)


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
