"""Swin's weights under timm's parameter names, for the bundled backbone. swin.py computes the forward pass.

timm would build the same modules. But its import takes seconds and hundreds of megabytes, because its model zoo
imports torchvision and the compiler of torch. A server of the bundled backbone needs none of that.

Liu et al. 2021, "Swin Transformer", arXiv 2103.14030.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import torch
from torch import Tensor, nn

from backbone.layers import partition

Pair = tuple[int, int]  # height and width, in tokens

_MLP_RATIO = 4
_EPS = 1e-5
_BUFFERS = ("relative_position_index", "attn_mask")  # of attention in older files; computed here instead of loaded
_MASKED = -100.0  # added where a token must not attend, as in the original code


def timm_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original Swin's tensors under timm's names, as timm renames them; nothing is resized.

    In the original a merging ends a stage; in timm it begins the next one.
    """
    found = {key: value for key, value in tensors.items() if not key.endswith(_BUFFERS)}
    if "layers.0.downsample.reduction.weight" not in found:
        return found
    later = {
        key: re.sub(r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", key) for key in found
    }
    return {later[key]: value for key, value in found.items()}


class PatchEmbed(nn.Module):
    """One convolution for each patch, then LayerNorm: (B, 3, H, W) -> (B, H', W', C)."""

    def __init__(self, image: int, patch: int, dim: int) -> None:
        """Untrained weights for square images and patches, both in pixels."""
        super().__init__()
        self.grid_size = (image // patch, image // patch)
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)
        self.norm = nn.LayerNorm(dim, _EPS)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H', W', C)."""
        x: Tensor = self.norm(self.proj(images).permute(0, 2, 3, 1))
        return x


class PatchMerging(nn.Module):
    """The weights that merge four neighbouring tokens between two stages."""

    def __init__(self, dim: int) -> None:
        """From `dim` channels to twice as many."""
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, _EPS)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)


class SwinAttention(nn.Module):
    """The weights of attention inside windows, and the index of the position bias for each pair of tokens."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: Pair) -> None:
        """For windows of `window` tokens."""
        super().__init__()
        offsets = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, heads))
        self.register_buffer("relative_position_index", position_index(window), persistent=False)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)


class SwinMlp(nn.Module):
    """The weights of the MLP."""

    def __init__(self, dim: int) -> None:
        """Four times as wide inside."""
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(dim, _MLP_RATIO * dim), nn.GELU(), nn.Linear(_MLP_RATIO * dim, dim)


class SwinBlock(nn.Module):
    """One block: attention inside windows, then an MLP. In every other block the windows are shifted."""

    attn_mask: Tensor | None

    def __init__(self, dim: int, heads: int, *, grid: Pair, window: int, shifted: bool) -> None:
        """A window is at most as large as the map. If one window covers the map, nothing is shifted."""
        super().__init__()
        self.dim, self.input_resolution = dim, grid
        self.window_size = (min(window, grid[0]), min(window, grid[1]))
        shift = [size // 2 if shifted and side > size else 0 for side, size in zip(grid, self.window_size, strict=True)]
        self.shift_size = (shift[0], shift[1])
        self.norm1, self.norm2 = nn.LayerNorm(dim, _EPS), nn.LayerNorm(dim, _EPS)
        self.attn, self.mlp = SwinAttention(dim, heads, self.window_size), SwinMlp(dim)
        mask = shift_mask(grid, self.window_size, self.shift_size) if any(self.shift_size) else None
        self.register_buffer("attn_mask", mask, persistent=False)


class SwinStage(nn.Module):
    """Blocks over maps of one size; all stages but the first begin with a merging."""

    def __init__(self, dim: int, heads: int, depth: int, *, grid: Pair, window: int, merges: bool) -> None:
        """`grid` is the grid of tokens inside the stage, so after its merging."""
        super().__init__()
        self.downsample = PatchMerging(dim // 2) if merges else nn.Identity()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, grid=grid, window=window, shifted=bool(index % 2)) for index in range(depth)
        )


class Swin(nn.Module):
    """Swin without its classifier.

    Attributes:
        num_features: length of the pooled feature vector.
        pretrained_cfg: evaluation preprocessing, in timm's terms.
    """

    def __init__(
        self,
        *,
        img_size: int,
        patch_size: int,
        window_size: int,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
    ) -> None:
        """Untrained weights; arguments as timm names them."""
        super().__init__()
        self.patch_embed = PatchEmbed(img_size, patch_size, embed_dim)
        side = img_size // patch_size
        self.layers = nn.ModuleList(
            SwinStage(
                embed_dim << stage,
                heads,
                depth,
                grid=(side >> stage, side >> stage),
                window=window_size,
                merges=stage > 0,
            )
            for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True))
        )
        self.num_features = embed_dim << (len(depths) - 1)
        self.norm = nn.LayerNorm(self.num_features, _EPS)
        self.pretrained_cfg: dict[str, object] = {}


def position_index(window: Pair) -> Tensor:
    """The row of the bias table for each pair of tokens in a window: (T, T)."""
    rows, columns = window
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))  # (T, 2)
    offsets = places[:, None] - places[None]  # (T, T, 2)
    return (offsets[..., 0] + rows - 1) * (2 * columns - 1) + offsets[..., 1] + columns - 1


def shift_mask(grid: Pair, window: Pair, shift: Pair) -> Tensor:
    """The attention mask of a shifted map: it keeps tokens from opposite edges apart. (windows, T, T)."""
    regions = torch.zeros(1, *grid, 1)
    cuts = [(0, side - size, side - by, side) for side, size, by in zip(grid, window, shift, strict=True)]
    for number, ((top, bottom), (left, right)) in enumerate(product(pairwise(cuts[0]), pairwise(cuts[1]))):
        regions[:, top:bottom, left:right] = number
    tokens = partition(regions, window).squeeze(-1)  # (windows, T)
    return torch.where(tokens[:, None] == tokens[:, :, None], 0.0, _MASKED)
