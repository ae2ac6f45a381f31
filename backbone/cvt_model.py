"""CvT-13's weights under the names of its public checkpoint. timm does not have this architecture.

Wu et al. 2021, "CvT: Introducing Convolutions to Vision Transformers", arXiv 2103.15808. Names and sizes are those of
Microsoft's `CvT-13-224x224-IN-1k.pth`. Tensors of Hugging Face's `microsoft/cvt-13` are renamed to them. This file
holds the weights and the convolutions; cvt.py computes the forward pass.
"""

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 224  # pixels
DIMS = (64, 192, 384)  # channels of the three stages
DEPTHS = (1, 2, 10)  # blocks
HEADS = (1, 3, 6)
MLP_RATIO = 4
EPS = 1e-5

# From Hugging Face's names to Microsoft's, in this order.
_RENAMES = (
    (r"^cvt\.encoder\.stages\.(\d+)\.", r"stage\1."),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
    (r"\.embedding\.convolution_embeddings\.projection\.", ".patch_embed.proj."),
    (r"\.embedding\.convolution_embeddings\.normalization\.", ".patch_embed.norm."),
    (r"\.layers\.(\d+)\.", r".blocks.\1."),
    (r"\.attention\.attention\.convolution_projection_([qkv])[a-z]+\.convolution_projection\.", r".attn.conv_proj_\1."),
    (r"(\.conv_proj_[qkv])\.convolution\.", r"\1.conv."),
    (r"(\.conv_proj_[qkv])\.normalization\.", r"\1.bn."),
    (r"\.attention\.attention\.projection_([qkv])[a-z]+\.", r".attn.proj_\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
)


def public_name(key: str) -> str:
    """Microsoft's name of a tensor. `key` is Microsoft's name or Hugging Face's."""
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


class QuickGelu(nn.Module):
    """The activation of the MLPs: x·sigmoid(1.702·x)."""

    def forward(self, x: Tensor) -> Tensor:
        """The result has the shape of `x`."""
        return x * torch.sigmoid(1.702 * x)


class FrozenBatchNorm(nn.Module):
    """Batch norm over (B, C, H, W) with stored statistics, also when the model is in training mode."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        """The identity over `dim` channels until weights are loaded."""
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=EPS)


class ConvNorm(nn.Module):
    """Depthwise 3x3 convolution and batch norm: (B, C, H, W) -> (B, C, H/stride, W/stride), rounded up."""

    def __init__(self, dim: int, stride: int) -> None:
        """Untrained weights over `dim` channels."""
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, stride, padding=1, groups=dim, bias=False)
        self.bn = FrozenBatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H/stride, W/stride)."""
        out: Tensor = self.bn(self.conv(x))
        return out


class ConvEmbed(nn.Module):
    """Convolutional token embedding: (B, C, H, W) -> (B, H'·W', C'), section 3.1."""

    def __init__(self, channels: int, dim: int, *, first: bool) -> None:
        """Untrained weights: 7x7 with stride 4 for the image, 3x3 with stride 2 between stages."""
        super().__init__()
        kernel, stride, padding = (7, 4, 2) if first else (3, 2, 1)
        self.proj = nn.Conv2d(channels, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(dim, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H'·W', C')."""
        tokens: Tensor = self.norm(self.proj(x).flatten(2).transpose(1, 2))
        return tokens


class CvtAttention(nn.Module):
    """Weights of one attention: a depthwise convolution before each linear layer, with stride 2 for keys and values."""

    def __init__(self, dim: int) -> None:
        """Untrained weights over `dim` channels."""
        super().__init__()
        self.conv_proj_q, self.conv_proj_k, self.conv_proj_v = ConvNorm(dim, 1), ConvNorm(dim, 2), ConvNorm(dim, 2)
        self.proj_q, self.proj_k, self.proj_v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)


class CvtMlp(nn.Module):
    """Weights of one MLP."""

    def __init__(self, dim: int) -> None:
        """Untrained weights over `dim` channels."""
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, MLP_RATIO * dim), nn.Linear(MLP_RATIO * dim, dim)


class CvtBlock(nn.Module):
    """Weights of one block."""

    def __init__(self, dim: int) -> None:
        """Untrained weights over `dim` channels."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, EPS), nn.LayerNorm(dim, EPS)
        self.attn, self.mlp = CvtAttention(dim), CvtMlp(dim)


class CvtStage(nn.Module):
    """Weights of one stage; only the last has a class token."""

    def __init__(self, index: int) -> None:
        """Untrained weights of stage `index`, counted from 0."""
        super().__init__()
        dim, last = DIMS[index], index == len(DIMS) - 1
        self.heads = HEADS[index]
        self.patch_embed = ConvEmbed(DIMS[index - 1] if index else 3, dim, first=not index)
        self.cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02)) if last else None
        self.blocks = nn.ModuleList(CvtBlock(dim) for _ in range(DEPTHS[index]))


class Cvt(nn.Module):
    """CvT-13 without its classifier.

    Attributes:
        num_features: length of the pooled feature vector.
        pretrained_cfg: evaluation preprocessing of the released configuration, in timm's terms.
    """

    num_features = DIMS[-1]

    def __init__(self) -> None:
        """Untrained weights."""
        super().__init__()
        self.stage0, self.stage1, self.stage2 = CvtStage(0), CvtStage(1), CvtStage(2)
        self.norm = nn.LayerNorm(DIMS[-1], EPS)
        self.pretrained_cfg: dict[str, object] = {
            "input_size": (3, SIDE, SIDE),
            "crop_pct": 0.875,
            "interpolation": "bicubic",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
        }
