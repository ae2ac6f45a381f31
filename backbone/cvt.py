"""CvT-13 (Wu et al. 2021, arXiv 2103.15808) as a flat list of sub-layers on (B, L, C) sequences.

It has 13 blocks, so 26 sites. In the last stage the sequence begins with a class token. An adapter treats this token
like any other.

Three details follow Microsoft's code and may surprise:

- Attention is scaled by C**-0.5, where C is the width of all heads together.
- The MLP's activation is QuickGELU, x·sigmoid(1.702·x). Hugging Face's port computes the exact GELU with the same
  weights, so its features differ.
- Batch norm always uses its stored statistics.

MiMi's released code gives the adapters on CvT a QuickGELU too. Here adapters use the exact GELU on every backbone,
because a task adapter file can name no other activation.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone.cvt_model import SIDE, ConvEmbed, ConvNorm, Cvt, CvtAttention, CvtBlock, CvtStage, QuickGelu
from backbone.layers import Branch, Mlp
from backbone.network import Stem, SubLayer, Tail

NAME = "cvt_13"
Grid = tuple[int, int]  # height and width, in tokens


class CvtStem(Stem):
    """Token embedding of the first stage: (B, 3, H, W) -> (B, L, C)."""

    def __init__(self, embed: ConvEmbed, grid: Grid) -> None:
        """Take over the weights, for a grid of tokens."""
        super().__init__()
        self.embed = embed
        self.flops = embed_flops(embed, grid)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, L, C)."""
        x: Tensor = self.embed(images)
        return x


class StageEntry(nn.Module):
    """Token embedding between stages, and the stage's class token if it has one: (B, L, C) -> (B, L', C')."""

    def __init__(self, embed: ConvEmbed, cls_token: nn.Parameter | None, grid: Grid) -> None:
        """Take over the weights. `grid` is the grid of the incoming tokens."""
        super().__init__()
        self.embed, self.cls_token, self.grid = embed, cls_token, grid

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L', C')."""
        x = self.embed(to_map(x, self.grid))
        return x if self.cls_token is None else torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)


class ConvLinear(nn.Module):
    """Convolutional projection (section 3.2): a depthwise convolution of the map, then a linear layer.

    The class token skips the convolution.
    """

    def __init__(self, conv: ConvNorm, linear: nn.Linear) -> None:
        """Take over the weights."""
        super().__init__()
        self.conv, self.linear = conv, linear

    def forward(self, prefix: Tensor, grid: Tensor) -> Tensor:
        """Class token (B, 0 or 1, C) and map (B, C, H, W) -> (B, T, C)."""
        tokens = self.conv(grid).flatten(2).transpose(1, 2)
        out: Tensor = self.linear(torch.cat([prefix, tokens], 1) if prefix.shape[1] else tokens)
        return out


class ConvAttention(Branch):
    """LayerNorm, attention over convolutional projections, output projection.

    The projections of keys and values have stride 2, so they give a quarter as many tokens.
    """

    def __init__(self, norm: nn.Module, attn: CvtAttention, *, heads: int, prefix: int, grid: Grid) -> None:
        """Take over the weights, for `prefix` class tokens in front of a grid of tokens."""
        super().__init__()
        self.norm, self.proj = norm, attn.proj
        self.query = ConvLinear(attn.conv_proj_q, attn.proj_q)
        self.key = ConvLinear(attn.conv_proj_k, attn.proj_k)
        self.value = ConvLinear(attn.conv_proj_v, attn.proj_v)
        self.heads, self.prefix, self.grid = heads, prefix, grid

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        x = self.norm(x)
        prefix, grid = x[:, : self.prefix], to_map(x[:, self.prefix :], self.grid)
        q, k, v = (
            projection(prefix, grid).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, d)
            for projection in (self.query, self.key, self.value)
        )
        h = functional.scaled_dot_product_attention(q, k, v, scale=x.shape[-1] ** -0.5)
        out: Tensor = self.proj(h.transpose(1, 2).flatten(2))
        return out

    def flops(self, tokens: int) -> int:
        """FLOPs for one image of `tokens` tokens, including the class token."""
        small = _halved(self.grid[0]) * _halved(self.grid[1])
        keys = self.prefix + small
        convolved = 9 * (tokens - self.prefix + 2 * small)  # depthwise 3x3: query, key and value
        linear = self.proj.in_features * (2 * tokens + 2 * keys)  # query and output, key and value
        products = 2 * tokens * keys  # q·kᵀ and weights·v
        return 2 * self.proj.in_features * (convolved + linear + products)


class ClassTail(Tail):
    """Final norm of the class token: (B, L, C) -> (B, C)."""

    def __init__(self, norm: nn.Module) -> None:
        """Take over the final norm."""
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, C)."""
        features: Tensor = self.norm(x[:, 0])
        return features


def to_map(x: Tensor, grid: Grid) -> Tensor:
    """(B, H·W, C) -> (B, C, H, W): a view in the memory format channels-last."""
    channels_last: Tensor = x.transpose(1, 2).unflatten(2, grid)
    return channels_last


def embed_flops(embed: ConvEmbed, grid: Grid) -> int:
    """FLOPs of a token embedding for one image; `grid` is its output."""
    return 2 * grid[0] * grid[1] * embed.proj.weight.numel()


def flatten(model: Cvt) -> tuple[CvtStem, list[SubLayer], ClassTail]:
    """Stem, sub-layers and tail of CvT. They take over the modules of `model`: do not use it afterwards."""
    grid = (SIDE // 4, SIDE // 4)
    stem, sites = CvtStem(model.stage0.patch_embed, grid), list(_sub_layers(model.stage0, 0, grid, None))
    for stage in (model.stage1, model.stage2):
        entry = StageEntry(stage.patch_embed, stage.cls_token, grid)
        grid = (_halved(grid[0]), _halved(grid[1]))
        sites.extend(_sub_layers(stage, len(sites), grid, entry))
    return stem, sites, ClassTail(model.norm)


def _sub_layers(stage: CvtStage, index: int, grid: Grid, entry: StageEntry | None) -> Iterator[SubLayer]:
    """An attention and an MLP sub-layer for each block; the first of the stage enters through `entry`."""
    prefix = int(stage.cls_token is not None)
    flops = embed_flops(stage.patch_embed, grid) if entry else 0
    for block in cast(Iterator[CvtBlock], iter(stage.blocks)):
        attention = ConvAttention(block.norm1, block.attn, heads=stage.heads, prefix=prefix, grid=grid)
        shape = (prefix + grid[0] * grid[1], attention.proj.out_features)
        yield SubLayer(index, attention, shape=shape, enter=entry, enter_flops=flops)
        yield SubLayer(index + 1, Mlp(block.norm2, block.mlp.fc1, QuickGelu(), block.mlp.fc2), shape=shape)
        index, entry, flops = index + 2, None, 0


def _halved(side: int) -> int:
    """Side of a map after a 3x3 convolution of stride 2, padded by 1."""
    return (side + 1) // 2
