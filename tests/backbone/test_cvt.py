"""CvT-13: the flat list against a plain reference, its sites, its weights files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from backbone import Backbone, SiteWeights, adapt, load_backbone
from backbone.cvt_model import FrozenBatchNorm
from backbone.errors import WeightsInvalid, WeightsUnavailable
from backbone.fingerprint import fingerprint_of
from tests.backbone.cvt_reference import Reference, hugging_face, random_reference


@pytest.fixture(scope="module")
def reference() -> Reference:
    return random_reference()


@pytest.fixture(scope="module")
def network(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return loaded(reference.state_dict(), tmp_path_factory.mktemp("cvt"))


def loaded(tensors: dict[str, Tensor], folder: Path) -> Backbone:
    """The backbone with these weights, by way of a file."""
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "cvt.safetensors")
    return load_backbone("cvt_13", weights=folder / "cvt.safetensors")


def images(batch: int) -> Tensor:
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(batch))


def assert_close(ours: Tensor, reference: Tensor) -> None:
    """The project's fp32 tolerance."""
    assert (ours - reference).abs().max() <= 1e-5 * max(1.0, reference.abs().max().item())


@pytest.mark.parametrize("batch", [1, 3])
@torch.inference_mode()
def test_features_equal_those_of_the_plain_network(reference: Reference, network: Backbone, batch: int) -> None:
    expected = reference(images(batch))
    assert expected.std() > 0.1  # the comparison means something
    assert_close(network(images(batch)), expected)


def test_it_has_the_sites_of_the_paper(network: Backbone) -> None:
    dims = [site.dim for site in network.sites]
    assert [site.index for site in network.sites] == list(range(26))
    assert (sum(dims), sum(dim * dim for dim in dims)) == (8576, 3104768)
    assert (dims.count(64), dims.count(192), dims.count(384)) == (2, 4, 20)
    assert network.feature_dim == 384


@torch.inference_mode()
def test_each_sub_layer_has_the_flops_that_pytorch_counts(network: Backbone) -> None:
    x = network.embed(images(1))
    for site in network.sites:
        with FlopCounterMode(display=False) as enter:
            x = site.enter(x)
        with FlopCounterMode(display=False) as branch, sdpa_kernel(SDPBackend.MATH):
            h = site.branch(x)
        assert (enter.get_total_flops(), branch.get_total_flops()) == (site.enter_flops, site.flops)
        assert h.shape == x.shape == (1, site.tokens, site.dim)
        x = x + h


@torch.inference_mode()
def test_flops_are_those_that_pytorch_counts(network: Backbone) -> None:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(images(1))
    assert counter.get_total_flops() == network.flops


def test_the_class_token_is_in_the_last_stage_alone(network: Backbone) -> None:
    assert sorted({(site.dim, site.tokens) for site in network.sites}) == [(64, 3136), (192, 784), (384, 197)]


@torch.inference_mode()
def test_an_adapter_sees_the_class_token(network: Backbone) -> None:
    """At the last site the pooled token is the class token: only through it can an adapter change the features."""
    generator = torch.Generator().manual_seed(0)
    weights = SiteWeights(torch.randn(2, 384, generator=generator), torch.randn(384, 2, generator=generator))
    plain, seen = network(images(1)), []

    def adapt_last(index: int, h: Tensor) -> Tensor:
        if index < 25:
            return h
        seen.append(h.shape)
        return torch.cat([adapt(h[:, :1], weights), h[:, 1:]], 1)

    assert not torch.allclose(network(images(1), adapt_last), plain)
    assert seen == [(1, 197, 384)]


def test_batch_norm_stays_frozen_when_the_model_around_it_trains(network: Backbone) -> None:
    plain, before = network(images(2)), {name: value.clone() for name, value in network.state_dict().items()}
    holder = torch.nn.Sequential(network).train()
    assert torch.equal(holder(images(2)), plain)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    holder.eval()


def test_nothing_in_it_trains(network: Backbone) -> None:
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_gradients_reach_an_adapter_at_the_first_site(network: Backbone) -> None:
    weights = SiteWeights(torch.full((1, 64), 0.01, requires_grad=True), torch.full((64, 1), 0.01, requires_grad=True))
    network(images(1), lambda index, h: adapt(h, weights) if index == 0 else h).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)


def test_hugging_faces_names_give_the_same_network(reference: Reference, network: Backbone, tmp_path: Path) -> None:
    renamed = hugging_face(reference.state_dict())
    assert "cvt.encoder.stages.2.layers.9.attention.output.dense.bias" in renamed
    assert loaded(renamed, tmp_path).fingerprint == network.fingerprint


@pytest.mark.parametrize("kind", ["running_mean", "running_var", "weight", "bias"])
def test_statistics_of_batch_norm_are_in_the_fingerprint(kind: str) -> None:
    norm = FrozenBatchNorm(3)
    before = fingerprint_of(norm)
    with torch.no_grad():
        getattr(norm, kind)[1] += 0.01
    assert fingerprint_of(norm) != before


def test_weights_that_are_missing_are_named(reference: Reference, tmp_path: Path) -> None:
    tensors = reference.state_dict()
    del tensors["stage2.cls_token"]
    with pytest.raises(WeightsInvalid, match=r"cvt\.safetensors does not fit .* 1 missing \['stage2\.cls_token'\]"):
        loaded(tensors, tmp_path)


def test_weights_of_another_depth_are_refused(reference: Reference, tmp_path: Path) -> None:
    tensors = reference.state_dict()
    tensors["stage1.blocks.2.norm1.weight"] = torch.ones(192)
    with pytest.raises(WeightsInvalid, match=r"1 unexpected \['stage1\.blocks\.2\.norm1\.weight'\]"):
        loaded(tensors, tmp_path)


def test_without_a_file_the_error_says_which_one_is_needed() -> None:
    with pytest.raises(WeightsUnavailable, match=r"--weights.*CvT-13-224x224-IN-1k\.pth.*microsoft/cvt-13"):
        load_backbone("cvt_13")


@torch.inference_mode()
def test_random_weights_need_no_file() -> None:
    features = load_backbone("cvt_13", pretrained=False)(images(1))
    assert features.shape == (1, 384)
    assert features.isfinite().all()


def test_preprocessing_is_that_of_the_released_configuration(network: Backbone) -> None:
    preprocessing = network.preprocessing
    assert (preprocessing.size, preprocessing.crop_pct, preprocessing.interpolation) == ((224, 224), 0.875, "bicubic")
