"""AdapterHub `adapters`: bottlenecks on Hugging Face's ViT, tasks in parallel (`Parallel`) or split (`BatchSplit`).

It is configured to compute equation 1 of MiMi with the same weights: after attention and after the MLP, before the
residual add, without norms. Its biases are set to zero.
"""

import re

import adapters
import numpy as np
import torch
from adapters import DoubleSeqBnConfig
from adapters.composition import BatchSplit, Parallel
from safetensors.torch import load_file
from torch import Tensor
from transformers import ViTConfig, ViTModel

from benchmarks.engine.pipe import VIT_ADAPTERS, VIT_WEIGHTS, Calls, Job

CONFIG = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "layer_norm_eps": 1e-6}
_RENAMES = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def build(job: Job) -> Calls:
    """`parallel`: one image, all tasks; `split`: one image for each task; features of the class token."""
    torch.set_num_threads(job.threads)
    model, names = ViTModel(ViTConfig(**CONFIG, num_hidden_layers=job.sizes.vit_depth), add_pooling_layer=False), []
    missing, unexpected = model.load_state_dict(renamed(load_file(job.path(VIT_WEIGHTS))), strict=False)
    if missing or unexpected:
        raise ValueError(f"transformers has other names: missing {missing[:3]}, unexpected {unexpected[:3]}")
    adapters.init(model)
    with np.load(job.path(VIT_ADAPTERS)) as weights:
        for index, (down, up) in enumerate(zip(weights["down"], weights["up"], strict=True)):
            names.append(f"task{index}")
            add(model, names[-1], torch.from_numpy(down), torch.from_numpy(up))
    model.eval()
    parallel, split = Parallel(*names), BatchSplit(*names, batch_sizes=[1] * len(names))
    images = torch.from_numpy(job.images(len(names)))

    @torch.inference_mode()
    def features(composition: Parallel | BatchSplit, pixels: Tensor) -> Tensor:
        with adapters.AdapterSetup(composition):
            tokens: Tensor = model(pixels).last_hidden_state
        return tokens[:, 0]

    return Calls(
        {"parallel": lambda: features(parallel, images[:1]), "split": lambda: features(split, images)},
        {"attention": model.config._attn_implementation},
    )


def add(model: ViTModel, name: str, down: Tensor, up: Tensor) -> None:
    """One task: `down` (sites, N, M) and `up` (sites, M, N)."""
    config = DoubleSeqBnConfig(
        reduction_factor=down.shape[2] / down.shape[1],
        non_linearity="gelu",
        original_ln_before=False,
        original_ln_after=True,
        residual_before_ln=True,
    )
    model.add_adapter(name, config=config)
    for index, layer in enumerate(model.encoder.layer):
        for offset, home in enumerate((layer.attention_adapters, layer.output.output_adapters)):
            bottleneck = home.adapters[name]
            for linear, values in ((bottleneck.adapter_down[0], down), (bottleneck.adapter_up, up)):
                linear.weight.data.copy_(values[2 * index + offset])
                linear.bias.data.zero_()


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's state under transformers' names, the joint projection split in three."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if qkv := re.match(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)$", key):
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            home = f"encoder.layer.{qkv[1]}.attention.attention"
            found |= {f"{home}.{name}.{qkv[2]}": part for name, part in parts}
        else:
            found[_renamed(key)] = value
    return found


def _renamed(key: str) -> str:
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return key
