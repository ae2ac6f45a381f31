"""Hugging Face's Swin-T with the shared weights: timm's names turned into those of transformers 5."""

import re

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import SwinConfig, SwinModel

from benchmarks.engine.job import WEIGHTS, Job

CONFIG = {"num_heads": [3, 6, 12, 24], "window_size": 7, "image_size": 224}
_RENAMES = (
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^patch_embed\.norm\.", "embeddings.norm."),
    (r"^norm\.", "layernorm."),
    (r"^layers\.", "encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.relative_position_bias_table$", ".attention.relative_position_bias.relative_position_bias_table"),
)


def load(job: Job) -> SwinModel:
    """The network, in evaluation mode, with this job's threads."""
    torch.set_num_threads(job.threads)
    model = SwinModel(SwinConfig(**CONFIG, **job.sizes.swin))
    missing, unexpected = model.load_state_dict(renamed(load_file(job.path(WEIGHTS))), strict=False)
    left = [key for key in missing if not key.endswith("relative_position_index")]
    if left or unexpected:
        raise ValueError(f"transformers has other names: missing {left[:3]}, unexpected {unexpected[:3]}")
    return model.eval()


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's state under transformers' names; the joint projection split in three, mergers one stage earlier."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if qkv := re.match(r"layers\.(.+)\.attn\.qkv\.(weight|bias)$", key):
            parts = zip("qkv", value.chunk(3), strict=True)
            found |= {f"encoder.layers.{qkv[1]}.attention.{name}_proj.{qkv[2]}": part for name, part in parts}
        elif not key.endswith(("relative_position_index", "attn_mask")):
            found[_renamed(key)] = value
    return found


def _renamed(key: str) -> str:
    name = re.sub(r"^layers\.(\d+)\.downsample\.", lambda stage: f"layers.{int(stage[1]) - 1}.downsample.", key)
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
