"""Tiny networks of all kinds with random weights, and helpers for the tests of all methods."""

from functools import cache

import torch
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbone import Backbone, flatten, load_backbone
from training.methods import METHODS
from training.model import TaskModel

SIZE, CLASSES = 16, 3
KINDS = ("swin", "vit", "eva")


@cache
@torch.inference_mode(False)  # kept for all tests, so whoever asks first must not leave inference tensors in it
def small(kind: str) -> Backbone:
    """Swin with a shifted block and patch merging, or ViT or EVA with a class token; 16 x 16 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = {"swin": _swin, "vit": _vit, "eva": _eva}[kind]()
    # Position tables, norms and biases start at 0 and 1, where a slip would not show.
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.pretrained_cfg = {"input_size": (3, SIZE, SIZE), "crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return flatten(kind, model)


def _swin() -> SwinTransformer:
    """8 x 8 tokens of 24 channels in two blocks, 4 x 4 of 48 in one."""
    sizes = {"img_size": SIZE, "patch_size": 2, "window_size": 4, "embed_dim": 24}
    return SwinTransformer(**sizes, depths=(2, 1), num_heads=(2, 4), num_classes=0)


def _vit() -> VisionTransformer:
    """A class token and 4 x 4 tokens of 24 channels in two blocks."""
    return VisionTransformer(img_size=SIZE, patch_size=4, embed_dim=24, depth=2, num_heads=2, num_classes=0)


def _eva() -> Eva:
    """The same tokens with rotary positions, gated MLPs, scales and norms inside the branches."""
    sizes = {"img_size": SIZE, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 0}
    parts = {"swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True, "qkv_fused": False}
    return Eva(**sizes, **parts, use_rot_pos_emb=True, init_values=0.5)


@cache
@torch.inference_mode(False)
def swin_tiny() -> Backbone:
    """Swin-T for 224 pixels with random weights: for counting."""
    with torch.random.fork_rng():
        return load_backbone("swin_tiny_patch4_window7_224", pretrained=False)


def build(name: str, backbone: Backbone, seed: int = 0) -> TaskModel:
    """The method `name` for three classes."""
    return METHODS[name].build(backbone, CLASSES, seed)


def images(count: int = 2, size: int = SIZE) -> Tensor:
    """Normalised images (count, 3, size, size), always the same."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def shake(model: TaskModel, scale: float = 0.1) -> TaskModel:
    """Move every own parameter away from its start, so that nothing is zero any more."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.own_parameters().values():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model


def far_apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference in units of the largest value: the project's tolerance is 1e-5."""
    return (found - expected).abs().max().item() / max(1.0, expected.abs().max().item())


def trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
