"""Swin Transformer (Liu et al. 2021) as a flat list of sub-layers on (B, H, W, C) maps.

The weights come from timm's model or from our own (swin_model.py).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from backbone.errors import UnsupportedBackbone
from backbone.layers import Merge, Mlp, WindowAttention
from backbone.network import Stem, SubLayer, Tail
from backbone.swin_model import PatchEmbed, Swin

if TYPE_CHECKING:
    from timm.layers import PatchEmbed as TimmPatchEmbed
    from timm.models.swin_transformer import SwinTransformer

Part = Any  # a block or a merging of timm's model or of ours; both have the same attributes


class SwinStem(Stem):
    """Patch embedding: (B, 3, H, W) -> (B, H', W', C)."""

    def __init__(self, patch_embed: "PatchEmbed | TimmPatchEmbed", grid: tuple[int, int]) -> None:
        """Take over a patch embedding whose output is a grid of H' x W' tokens."""
        super().__init__()
        self.patch = patch_embed
        self.flops = 2 * grid[0] * grid[1] * patch_embed.proj.weight.numel()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H', W', C)."""
        x: Tensor = self.patch(images)
        return x


class MapTail(Tail):
    """Final norm and the mean over all positions: (B, H, W, C) -> (B, C)."""

    def __init__(self, norm: nn.Module) -> None:
        """Take over the final norm."""
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, C)."""
        features: Tensor = self.norm(x).mean((1, 2))
        return features


def flatten(model: "Swin | SwinTransformer") -> tuple[SwinStem, list[SubLayer], MapTail]:
    """Stem, sub-layers and tail of a Swin. They take over the modules of `model`: do not use it afterwards.

    Raises:
        UnsupportedBackbone: at some stage the map does not divide into windows.
    """
    sites: list[SubLayer] = []
    stages: Iterable[Part] = model.layers
    for stage in stages:
        merging: Part = None if isinstance(stage.downsample, nn.Identity) else stage.downsample
        for block in stage.blocks:
            sites.extend(_sub_layers(block, len(sites), merging))
            merging = None
    return SwinStem(model.patch_embed, model.patch_embed.grid_size), sites, MapTail(model.norm)


def _sub_layers(block: Part, index: int, merging: Part) -> Iterator[SubLayer]:
    """The attention and the MLP sub-layer of one block. `merging`, if any, runs before the first."""
    height, width = block.input_resolution
    if height % block.window_size[0] or width % block.window_size[1]:
        raise UnsupportedBackbone(f"a {height}x{width} map does not divide into windows of {block.window_size}")
    tokens = height * width
    attn, mlp = block.attn, block.mlp
    attention = WindowAttention(
        block.norm1,
        attn.qkv,
        attn.proj,
        position=(attn.relative_position_bias_table, attn.relative_position_index),
        window=block.window_size,
        shift=(block.shift_size, block.attn_mask),
    )
    enter = Merge(merging.norm, merging.reduction) if merging else None
    flops = 2 * tokens * merging.reduction.weight.numel() if merging else 0
    yield SubLayer(index, attention, shape=(tokens, block.dim), enter=enter, enter_flops=flops)
    yield SubLayer(index + 1, Mlp(block.norm2, mlp.fc1, mlp.act, mlp.fc2), shape=(tokens, block.dim))
