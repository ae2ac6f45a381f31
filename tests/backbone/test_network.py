"""The flat list: sites, shapes, FLOPs, and what adapters add."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from backbone import Backbone, SiteWeights, adapt, adapter_flops, flops_of, load_backbone, reference_logits
from backbone.network import SubLayer


def counted(run: torch.nn.Module, *inputs: torch.Tensor) -> int:
    """FLOPs as PyTorch counts them; it knows attention only where it is written as matrix products."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        run(*inputs)
    return int(counter.get_total_flops())


@pytest.fixture(scope="module")
def bundled() -> Backbone:
    return load_backbone()


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_flops_are_those_that_pytorch_counts(name: str) -> None:
    network = load_backbone(name, pretrained=False)
    assert counted(network, torch.zeros(1, 3, 224, 224)) == network.flops


def test_flops_of_the_bundled_backbone_are_those_that_pytorch_counts(bundled: Backbone) -> None:
    assert counted(bundled, torch.zeros(1, 3, 64, 64)) == bundled.flops


def test_swin_tiny_has_the_sites_of_the_paper() -> None:
    network = load_backbone("swin_tiny_patch4_window7_224", pretrained=False)
    dims = [site.dim for site in network.sites]
    assert len(dims) == 24
    assert (sum(dims), sum(dim * dim for dim in dims)) == (8832, 4313088)
    assert network.flops / 1e9 == pytest.approx(8.98, abs=0.01)


def test_sites_are_numbered_from_the_input(bundled: Backbone) -> None:
    assert [site.index for site in bundled.sites] == list(range(24))


def test_a_site_states_the_shape_of_its_branch(bundled: Backbone) -> None:
    x = bundled.embed(torch.zeros(2, 3, 64, 64))
    for site in bundled.sites:
        x = site.enter(x)
        h = site.branch(x)
        assert h.shape == x.shape
        assert h[0].numel() == site.tokens * site.dim
        x = x + h


def test_adapter_flops_are_those_of_the_two_products(bundled: Backbone) -> None:
    site = bundled.sites[5]
    weights = SiteWeights(torch.zeros(7, site.dim), torch.zeros(site.dim, 7))
    widths = [7 if index == site.index else 0 for index in range(24)]
    with FlopCounterMode(display=False) as counter:
        adapt(torch.zeros(1, site.tokens, site.dim), weights)
    assert counter.get_total_flops() == adapter_flops(bundled, widths)
    assert flops_of(bundled, widths, 10) == bundled.flops + adapter_flops(bundled, widths) + 2 * 384 * 10


def test_adapter_is_equation_1() -> None:
    h, down, up = torch.randn(2, 5, 8), torch.randn(3, 8), torch.randn(8, 3)
    expected = h + torch.einsum("mn,btn->btm", up, torch.nn.functional.gelu(torch.einsum("nm,btm->btn", down, h)))
    torch.testing.assert_close(adapt(h, SiteWeights(down, up)), expected, rtol=1e-4, atol=1e-4)


def test_reference_logits_are_the_adapted_forward_of_one_image(bundled: Backbone) -> None:
    generator = torch.Generator().manual_seed(0)
    site = bundled.sites[3]
    weights = SiteWeights(*(torch.randn(*s, generator=generator) / 10 for s in ((4, site.dim), (site.dim, 4))))
    head = (torch.randn(6, 384, generator=generator), torch.randn(6, generator=generator))
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pixels = bundled.preprocessing.normalize(torch.from_numpy(image)[None])
    features = bundled(pixels, lambda index, h: adapt(h, weights) if index == 3 else h)
    expected = (features @ head[0].T + head[1])[0].numpy()
    assert np.allclose(reference_logits(bundled, {3: weights}, head, image), expected, atol=1e-4)


def test_nothing_in_a_backbone_trains(bundled: Backbone) -> None:
    assert not any(parameter.requires_grad for parameter in bundled.parameters())
    assert not bundled.training
    assert all(isinstance(site, SubLayer) for site in bundled.sites)
