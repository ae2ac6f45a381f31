"""Choosing a backbone: names, files, fingerprints, and one clear error for each way it can fail."""

import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import checkpoint_filter_fn

from backbone import SHIPPED, flatten, load_backbone, shipped
from backbone.errors import UnknownBackbone, UnsupportedBackbone, WeightsInvalid, WeightsUnavailable

FILE = shipped() / "model.safetensors"


FINGERPRINTS = {  # task adapters name them: one that ships never changes
    "swin_nano_patch4_window4_64.dinov2_distilled": "da7a3a40385d1617c576f95d8e699c765d4450ffd8563b982e1ae02cad416bff",
    "swin_nano_patch4_window4_64": "a5ef18e2f93814ef10b98e25c6e14993ef6048728831a2b28906ab37cc662c00",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_fingerprint_of_what_ships_is_this_one(name: str) -> None:
    assert load_backbone(name).fingerprint == FINGERPRINTS[name]


def test_the_fingerprint_does_not_depend_on_the_stored_dtype(tmp_path: Path) -> None:
    save_file({key: value.float() for key, value in load_file(FILE).items()}, tmp_path / "wide.safetensors")
    assert load_backbone(weights=tmp_path / "wide.safetensors").fingerprint == load_backbone().fingerprint


def test_the_fingerprint_changes_with_one_weight(tmp_path: Path) -> None:
    tensors = load_file(FILE)
    tensors["norm.weight"][0] += 1
    save_file(tensors, tmp_path / "other.safetensors")
    assert load_backbone(weights=tmp_path / "other.safetensors").fingerprint != load_backbone().fingerprint


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(WeightsInvalid, match="does not fit the architecture"):
        load_backbone("swin_tiny_patch4_window7_224", weights=FILE)


def original_swin(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as Microsoft's Swin and timm before 0.9 have them: merging at the end of a stage, and buffers."""
    renamed = {
        re.sub(r"layers\.(\d+)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", key): value
        for key, value in tensors.items()
    }
    buffers = {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16)}
    buffers |= {"layers.0.blocks.1.attn_mask": torch.zeros(4, 16, 16), "head.weight": torch.zeros(10, 4)}
    return renamed | buffers


@pytest.mark.parametrize("wrapped", ["", "module.", "model.", "state_dict.", "model.module.", "_orig_mod."])
@pytest.mark.parametrize("original", [False, True])
def test_names_of_other_publishers_and_wrappers_give_the_same_backbone(
    tmp_path: Path, wrapped: str, original: bool
) -> None:
    tensors = load_file(FILE)
    tensors = original_swin(tensors) if original else tensors
    save_file({f"{wrapped}{key}": value.clone() for key, value in tensors.items()}, tmp_path / "other.safetensors")
    assert load_backbone(weights=tmp_path / "other.safetensors").fingerprint == load_backbone().fingerprint


def test_a_vit_of_another_publisher_is_renamed_as_timm_does(tmp_path: Path) -> None:
    """An old ViT has a representation layer, which timm drops."""
    network = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    tensors = {f"module.{key}": value.clone() for key, value in network.state_dict().items()}
    tensors["module.pre_logits.fc.weight"] = torch.zeros(2, 2)
    save_file(tensors, tmp_path / "vit.safetensors")
    assert load_backbone("vit_tiny_patch16_224", weights=tmp_path / "vit.safetensors").feature_dim == 192


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    tensors = load_file(FILE)
    tensors["norm.weight"][0] = value
    save_file(tensors, tmp_path / "broken.safetensors")
    with pytest.raises(WeightsInvalid, match=r"norm\.weight has values that are not finite"):
        load_backbone(weights=tmp_path / "broken.safetensors")


def test_a_misspelt_name_suggests_the_one_that_was_meant() -> None:
    with pytest.raises(UnknownBackbone, match="see vit_small"):
        load_backbone("vit_smal_patch16_224")


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_an_unreadable_weights_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(WeightsInvalid, match=r"bad\.safetensors"):
        load_backbone(weights=tmp_path / "bad.safetensors")


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"none\.safetensors"):
        load_backbone(weights=tmp_path / "none.safetensors")


def test_an_unknown_name_suggests_known_ones() -> None:
    with pytest.raises(UnknownBackbone, match="swin_"):
        load_backbone("swin_huge_patch4_window7_224")


@pytest.mark.parametrize("name", ["resnet18", "swinv2_tiny_window8_256"])
def test_an_architecture_that_is_no_flat_list_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedBackbone, match="supported are SwinTransformer, VisionTransformer"):
        load_backbone(name, pretrained=False)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"use_rot_pos_emb": False}, "without rotary"),
        ({"qk_norm": True}, "query/key norms"),
        ({"use_post_norm": True}, "EvaBlockPostNorm"),
        ({"global_pool": "max"}, "pooling 'max'"),
    ],
)
def test_an_eva_with_unknown_parts_is_refused(changes: dict[str, object], part: str) -> None:
    shape = {"img_size": 28, "patch_size": 14, "embed_dim": 64, "depth": 1, "num_heads": 2, "use_rot_pos_emb": True}
    model = Eva(**{**shape, **changes}, num_classes=0)
    model.pretrained_cfg = {"input_size": (3, 28, 28)}
    with pytest.raises(UnsupportedBackbone, match=part):
        flatten("an eva", model)


def test_dinov3_takes_weights_under_metas_names(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_dinov3_qkvb", num_classes=0)
    tensors = {
        name.replace("reg_token", "storage_tokens")
        .replace("gamma_1", "ls1.gamma")
        .replace("gamma_2", "ls2.gamma"): value
        for name, value in model.state_dict().items()
    }
    save_file(tensors, tmp_path / "dinov3.safetensors")
    network = load_backbone("vit_tiny_patch16_dinov3_qkvb@64", weights=tmp_path / "dinov3.safetensors")
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, network.feature_dim)


def test_without_a_network_the_error_names_the_weights_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match="--weights"):
        load_backbone("swin_tiny_patch4_window7_224")


def test_a_vit_takes_images_of_another_side_with_the_weights_of_its_own(tmp_path: Path) -> None:
    """timm resamples the position embedding in the same way."""
    name = "vit_tiny_patch16_224"
    whole = timm.create_model(name, num_classes=0)
    save_file(whole.state_dict(), tmp_path / "vit.safetensors")
    small = timm.create_model(name, num_classes=0, img_size=64)
    small.load_state_dict(checkpoint_filter_fn(whole.state_dict(), small))
    backbone = load_backbone(f"{name}@64", weights=tmp_path / "vit.safetensors")
    assert (backbone.name, backbone.preprocessing.size) == (f"{name}@64", (64, 64))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone(images), small.eval()(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("vit_tiny_patch16_224@60", "multiple of 16"),
        ("vit_tiny_patch16_224@big", "number of pixels"),
        ("vit_tiny_patch16_224@0", "number of pixels"),
        ("resnet18@64", "cannot build|is a ResNet"),
        ("swin_tiny_patch4_window7_224@112", "only a VisionTransformer"),
    ],
)
def test_a_side_that_a_network_cannot_have_is_refused(name: str, why: str) -> None:
    with pytest.raises(UnsupportedBackbone, match=why):
        load_backbone(name, pretrained=False)
