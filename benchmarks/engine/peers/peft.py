"""PEFT: LoRA on Hugging Face's Swin, one adapter a task, batches mixed through `adapter_names`.

Hugging Face's Swin-T gets the shared weights: timm's names become those of transformers 5.
"""

import re

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor
from transformers import SwinConfig, SwinModel

from benchmarks.engine.pipe import WEIGHTS, Calls, Job

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


SCALE = 0.05  # LoRA begins at zero; random weights make every adapter answer differently


def build(job: Job) -> Calls:
    """`mixed` (row i for task i modulo their number), `alone` (the same, row by row), `base` without any adapter."""
    images, tasks = torch.from_numpy(job.images(job.number("batch"))), job.number("tasks")
    base = load(job)
    config = LoraConfig(r=job.number("rank"), lora_alpha=job.number("rank"), target_modules=["fc1", "fc2"])
    names = [f"task{index}" for index in range(tasks)]
    model = get_peft_model(base, config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    parameters = _randomise(model, names)
    model.eval()
    rows = [names[row % tasks] for row in range(len(images))]

    @torch.inference_mode()
    def mixed() -> Tensor:
        answer: Tensor = model(pixel_values=images, adapter_names=rows).pooler_output
        return answer

    @torch.inference_mode()
    def alone() -> Tensor:
        answers = []
        for image, name in zip(images, rows, strict=True):
            model.set_adapter(name)
            answers.append(model(pixel_values=image[None]).pooler_output)
        return torch.cat(answers)

    @torch.inference_mode()
    def bare() -> Tensor:
        with model.disable_adapter():
            answer: Tensor = model(pixel_values=images).pooler_output
        return answer

    facts = {"parameters_per_task": parameters, "attention": base.config._attn_implementation}
    return Calls({"mixed": mixed, "alone": alone, "base": bare}, facts)


def _randomise(model: torch.nn.Module, names: list[str]) -> int:
    """Random LoRA weights; returns how many one task has."""
    generator, parameters = torch.Generator().manual_seed(0), 0
    for key, value in model.named_parameters():
        if "lora_" in key:
            value.data = SCALE * torch.randn(value.shape, generator=generator)
            parameters += value.numel() if f".{names[0]}." in key else 0
    return parameters
