"""With every adapter removed, the flat list gives timm's own features."""

import json

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from backbone import Backbone, flatten, load_backbone, shipped
from backbone.swin_model import Swin

CONFIG = {"interpolation": "bicubic", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
WEIGHTS = shipped()


def assert_close(ours: Tensor, reference: Tensor) -> None:
    """The project's fp32 tolerance."""
    assert (ours - reference).abs().max() <= 1e-5 * max(1.0, reference.abs().max().item())


def images(network: Backbone, batch: int) -> Tensor:
    return torch.randn(batch, 3, *network.preprocessing.size, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def assert_parity(name: str, model: nn.Module, size: tuple[int, int]) -> None:
    """Compare one image and a batch of three; the reference first, because the flat list takes the modules over."""
    batches = [torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(n)) for n in (1, 3)]
    references = [model.forward_head(model.forward_features(batch), pre_logits=True) for batch in batches]  # type: ignore[operator]
    network = flatten(name, model)
    for batch, reference in zip(batches, references, strict=True):
        assert_close(network(batch), reference)


@pytest.mark.parametrize(
    "name",
    [
        "swin_tiny_patch4_window7_224",
        "swin_small_patch4_window7_224",
        "swin_base_patch4_window7_224",
        "swin_large_patch4_window7_224",
        "vit_base_patch16_224",
        "vit_small_patch16_224.augreg_in21k",
        "deit3_small_patch16_224",
        "vit_tiny_patch16_224",
    ],
)
def test_features_equal_timms_own(name: str) -> None:
    assert_parity(name, random_model(name), (224, 224))


def random_model(name: str, **changes: object) -> nn.Module:
    """timm's, in which every bias, table and scale counts: they start at a constant."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=0, **changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim <= 1 or parameter.shape[-1] < 64:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("vit_base_patch16_siglip_224", 64),  # pooled by attention
        ("vit_so400m_patch14_siglip_gap_224", 28),
        ("eva02_tiny_patch14_224", 56),  # gate and value packed, mean of the patches
        ("eva02_base_patch14_224", 42),  # queries, keys and values apart, a norm inside the MLP
        ("eva02_base_patch16_clip_224", 64),  # a norm inside the attention, class token
        ("vit_tiny_patch16_dinov3_qkvb", 64),  # halves rotate, registers, no position embedding
        ("vit_small_plus_patch16_dinov3", 96),
        ("vit_small_patch16_rope_mixed_224", 64),  # every block and head rotates in its own way
        ("vit_base_patch16_rope_reg1_gap_256", 64),
        ("vit_pe_core_tiny_patch16_384", 64),
    ],
)
def test_features_of_other_vits_equal_timms_own(name: str, side: int) -> None:
    assert_parity(name, random_model(name, img_size=side), (side, side))


def test_features_of_the_bundled_weights_equal_timms_own() -> None:
    config = json.loads((WEIGHTS / "config.json").read_text())
    model = SwinTransformer(**config["model_args"])
    model.load_state_dict({key: value.float() for key, value in load_file(WEIGHTS / "model.safetensors").items()})
    model.pretrained_cfg = config["pretrained_cfg"]
    batch = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        reference = model.eval().forward_head(model.forward_features(batch), pre_logits=True)
        assert_close(load_backbone()(batch), reference)


@pytest.mark.parametrize("window", [4, 8])
def test_our_swin_is_timms_module_for_module(window: int) -> None:
    sizes = {"img_size": 64, "patch_size": 4, "window_size": window, "embed_dim": 24}
    theirs = SwinTransformer(**sizes, depths=(2, 2), num_heads=(2, 4), num_classes=0).eval()
    ours = Swin(**sizes, depths=(2, 2), num_heads=(2, 4))
    ours.load_state_dict(theirs.state_dict())
    ours.pretrained_cfg = {"input_size": (3, 64, 64), "crop_pct": 1.0, **CONFIG}
    batch = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        reference = theirs.forward_head(theirs.forward_features(batch), pre_logits=True)
        assert_close(flatten("ours", ours)(batch), reference)


def test_a_training_position_table_gives_the_same_features_as_a_frozen_one() -> None:
    network = load_backbone()
    batch = images(network, 2)
    frozen = network(batch)
    network.requires_grad_(True)
    assert_close(network(batch), frozen)


def test_an_identity_adapter_changes_nothing() -> None:
    network = load_backbone()
    batch = images(network, 2)
    assert torch.equal(network(batch, lambda index, h: h), network(batch))
