"""Frozen products in bfloat16 on a CPU: the bits of autocast, and close to float32."""

from pathlib import Path

import pytest
import torch
from torch import nn

from backbone import load_backbone
from backbone.kernels import multiplies_bf16
from training.bare import bare
from training.fit import logits_of
from training.frozen import FrozenLinear
from training.model import AdaptedModel
from training.precision import resident


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
    for network in (backbone, resident(backbone, "bf16")):
        model = AdaptedModel(network, widths, 10)
        logits = logits_of(model, pixels)
        gradients = torch.autograd.grad(logits.square().sum(), list(model.task_parameters().values()))
        found.append((logits, torch.cat([gradient.flatten() for gradient in gradients])))
    for exact, rounded in zip(*found, strict=True):
        assert 0 < (exact - rounded).norm() / exact.norm() < 0.02
    assert {layer.weight.dtype for layer in backbone.modules() if isinstance(layer, nn.Linear)} == {torch.float32}


@pytest.mark.skipif(not multiplies_bf16(), reason="needs a processor with AVX-512 BF16")
def test_the_prefix_is_computed_by_kernels_in_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = load_backbone()
    lowered = resident(backbone, "bf16")
    kernels, exact = bare(lowered), bare(backbone)
    assert kernels.compiled == len(backbone.sites)
    x = torch.randn(2, 16, 16, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        by_kernels, by_layers = kernels.advance(x, 0, 8), lowered.advance(x, 0, 8)
        expected = exact.advance(x, 0, 8)
    for given in (by_kernels, by_layers):
        assert 1e-4 < (given - expected).norm() / expected.norm() < 1e-2
