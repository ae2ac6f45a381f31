"""VPT-deep (Jia et al. 2022, arXiv 2203.12119): learned tokens join the sequence, others at every block.

On Swin the prompts come before the patches of the map, (B, P + H·W, C). Every window sees a copy of them, and their
outputs are averaged over the windows. The final mean over the map includes the prompts of the last block. All this
follows the authors' code. Its patch merging also merges prompts, but the next block replaces them, so this is not
computed here. On ViT the prompts come between the class token and the patches.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone, SubLayer
from backbone.errors import UnsupportedBackbone
from backbone.layers import GlobalAttention, Merge, Mlp, WindowAttention, partition, unpartition
from training.methods.parts import Around, AroundBranch, fork, grid_of
from training.model import TaskModel


class MapPrompts(Around):
    """Entry of a block of Swin: removes earlier prompts, passes the map through `base`, and adds its own prompts."""

    def __init__(self, base: nn.Module, prompts: Tensor, grid: tuple[int, int] | None) -> None:
        """`prompts` (P, C); a map (B, H, W, C) comes in where `grid` is None, else (B, P + H·W, C) with grid (H, W)."""
        super().__init__(base)
        self.prompts, self.grid = nn.Parameter(prompts), grid

    def forward(self, x: Tensor) -> Tensor:
        """-> (B, P + tokens, C)."""
        if self.grid is not None:
            x = x[:, len(self.prompts) :].unflatten(1, self.grid)
        patches = self.base(x).flatten(1, 2)
        return torch.cat([self.prompts.expand(len(x), -1, -1), patches], 1)


class SequencePrompts(Around):
    """Entry of a block of ViT: its prompts replace earlier ones behind the prefix of the sequence."""

    def __init__(self, base: nn.Module, prompts: Tensor, *, prefix: int, first: bool) -> None:
        """`prompts` (P, C) behind `prefix` tokens; at the `first` block there are none to replace."""
        super().__init__(base)
        self.prompts, self.prefix = nn.Parameter(prompts), prefix
        self.patches = prefix if first else prefix + len(prompts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) or (B, P + L, C) -> (B, P + L, C)."""
        x = self.base(x)
        return torch.cat([x[:, : self.prefix], self.prompts.expand(len(x), -1, -1), x[:, self.patches :]], 1)


class PromptedWindows(AroundBranch):
    """Window attention with the prompts in every window; no position bias and no mask between prompts and patches."""

    bias: Tensor

    def __init__(self, branch: WindowAttention, prompts: int, grid: tuple[int, int]) -> None:
        """Attention for `prompts` tokens and a map of `grid` (H, W)."""
        super().__init__(branch)
        self.prompts, self.grid = prompts, grid
        self.register_buffer("bias", functional.pad(branch.bias, (prompts, 0, prompts, 0)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, P + H·W, C) -> (B, P + H·W, C)."""
        attention = cast(WindowAttention, self.branch)
        x = attention.norm(x)
        shift = attention.shift
        patches = torch.roll(x[:, self.prompts :].unflatten(1, self.grid), (-shift[0], -shift[1]), (1, 2))
        windows = partition(patches, attention.window)  # (B·n, T, C)
        copies = x[:, : self.prompts].repeat_interleave(len(windows) // len(x), 0)  # (B·n, P, C), images outermost
        h = attention.proj(attention.attend(torch.cat([copies, windows], 1), self.bias))
        mean = h[:, : self.prompts].unflatten(0, (len(x), -1)).mean(1)  # (B, P, C)
        patches = unpartition(h[:, self.prompts :], attention.window, patches.shape)
        return torch.cat([mean, torch.roll(patches, shift, (1, 2)).flatten(1, 2)], 1)


class PromptedTail(Around):
    """The mean over the map for prompts and patches together."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, P + H·W, C) -> (B, C)."""
        features: Tensor = self.base(x.unsqueeze(1))
        return features


def vpt(backbone: Backbone, classes: int, seed: int, *, prompts: int) -> TaskModel:
    """`prompts` tokens into every block.

    Raises:
        UnsupportedBackbone: blocks whose attention is neither Swin's nor ViT's.
    """
    generator = torch.Generator().manual_seed(seed)
    model = TaskModel(fork(backbone), classes, generator)
    grid = grid_of(model.backbone)
    embedding = model.backbone.stem.get_parameter("patch.proj.weight")  # (C, 3, h, w)
    bound = (6 / (embedding[0].numel() + len(embedding))) ** 0.5  # Xavier's for the patch embedding, at every depth
    for site in model.backbone.sites:
        if isinstance(site.branch, Mlp):
            continue
        tokens = nn.init.uniform_(torch.empty(prompts, site.dim), -bound, bound, generator=generator)
        if isinstance(site.branch, WindowAttention):
            grid = _prompt_map(site, site.branch, tokens, grid)
        elif isinstance(site.branch, GlobalAttention):
            prefix = site.tokens - grid[0] * grid[1]
            site.enter = SequencePrompts(site.enter, tokens, prefix=prefix, first=site.index == 0)
        else:
            raise UnsupportedBackbone(f"prompts cannot join {type(site.branch).__name__}")
    if isinstance(model.backbone.sites[0].branch, PromptedWindows):
        model.backbone.tail = PromptedTail(model.backbone.tail)
    return model


def _prompt_map(site: SubLayer, attention: WindowAttention, tokens: Tensor, grid: tuple[int, int]) -> tuple[int, int]:
    """Let `tokens` into a block that a map of `grid` enters; returns the grid inside it."""
    merges = isinstance(site.enter, Merge)
    site.enter = MapPrompts(site.enter, tokens, grid if site.index else None)
    inside = (grid[0] // 2, grid[1] // 2) if merges else grid
    site.branch = PromptedWindows(attention, len(tokens), inside)
    return inside
