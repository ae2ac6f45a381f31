"""The residual branches of sub-layers: attention and MLP, built from timm's own layers.

A branch takes over timm's modules without a copy. The forward passes are ours: timm's gather the relative position
bias in every call and expand the shift mask over the batch. Each branch normalises its input first. It knows its
FLOPs: 2 for each multiply-accumulate of a matrix product, those of attention included.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Branch(nn.Module):
    """One residual branch: from tokens to the output that is added to the residual stream."""

    def flops(self, tokens: int) -> int:
        """FLOPs for one image of `tokens` tokens."""
        raise NotImplementedError


class Mlp(Branch):
    """LayerNorm, linear, activation, linear, optional per-channel scale."""

    def __init__(
        self, norm: nn.Module, fc1: nn.Linear, act: nn.Module, fc2: nn.Linear, *, scale: nn.Module | None = None
    ) -> None:
        """Take over the given modules; `scale` is ViT's LayerScale if there is one."""
        super().__init__()
        self.norm, self.fc1, self.act, self.fc2 = norm, fc1, act, fc2
        self.scale = scale or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        out: Tensor = self.scale(self.fc2(self.act(self.fc1(self.norm(x)))))
        return out

    def flops(self, tokens: int) -> int:
        """FLOPs for one image of `tokens` tokens."""
        return 2 * tokens * (self.fc1.weight.numel() + self.fc2.weight.numel())


class GlobalAttention(Branch):
    """LayerNorm, multi-head attention over all tokens, projection, optional per-channel scale (ViT)."""

    def __init__(
        self, norm: nn.Module, qkv: nn.Linear, proj: nn.Linear, *, heads: int, scale: nn.Module | None = None
    ) -> None:
        """Take over the given modules."""
        super().__init__()
        self.norm, self.qkv, self.proj, self.heads = norm, qkv, proj, heads
        self.scale = scale or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, tokens, 3, self.heads, -1)  # (B, L, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, L, d)
        h = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.scale(self.proj(h.transpose(1, 2).reshape(batch, tokens, -1)))
        return out

    def flops(self, tokens: int) -> int:
        """FLOPs for one image of `tokens` tokens."""
        products = 2 * tokens * tokens * self.proj.in_features  # q·kᵀ and weights·v
        return 2 * (tokens * (self.qkv.weight.numel() + self.proj.weight.numel()) + products)


class Rotation(NamedTuple):
    """Rotary positions of T patches.

    Attributes:
        cosine, sine: (T, d), or (heads, T, d) where every head has its own.
        halves: pairs that rotate are channels i and i + d/2, as DINOv3 has them, instead of 2i and 2i + 1.
    """

    cosine: Tensor
    sine: Tensor
    halves: bool


class RotaryAttention(GlobalAttention):
    """Attention over all tokens whose queries and keys are rotated by the positions of their patches (EVA-02, DINOv3).

    RoFormer, Su et al. 2021, section 3.2. The last tokens of a sequence are the patches; those before have no
    position. `inner` is EVA-02's norm before the projection.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(
        self,
        norm: nn.Module,
        qkv: nn.Linear,
        proj: nn.Linear,
        *,
        rotation: Rotation,
        scale: nn.Module | None = None,
        inner: nn.Module | None = None,
    ) -> None:
        """Take over the given modules.

        Args:
            norm: LayerNorm before the attention.
            qkv: linear (C -> 3C).
            proj: linear (C -> C).
            rotation: of each head's queries and keys; its length gives the number of heads.
            scale: LayerScale if there is one.
            inner: norm before the projection.
        """
        super().__init__(norm, qkv, proj, heads=proj.in_features // rotation.cosine.shape[-1], scale=scale)
        self.inner, self.halves = inner or nn.Identity(), rotation.halves
        self.register_buffer("cosine", rotation.cosine, persistent=False)
        self.register_buffer("sine", rotation.sine, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, L, d)
        h = functional.scaled_dot_product_attention(self.rotated(q), self.rotated(k), v)
        out: Tensor = self.scale(self.proj(self.inner(h.transpose(1, 2).reshape(batch, tokens, -1))))
        return out

    def rotated(self, x: Tensor) -> Tensor:
        """Queries or keys, their patches rotated: (B, heads, L, d) -> (B, heads, L, d)."""
        prefix = x.shape[2] - self.cosine.shape[-2]
        patches = x[:, :, prefix:]
        turned = patches * self.cosine + self.quarter(patches) * self.sine
        return torch.cat([x[:, :, :prefix], turned.to(x.dtype)], 2)

    def quarter(self, x: Tensor) -> Tensor:
        """Each pair (a, b) of channels becomes (-b, a): (..., d) -> (..., d)."""
        if self.halves:
            a, b = x.chunk(2, -1)
            return torch.cat([-b, a], -1)
        return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)


class SwiGlu(nn.Module):
    """silu(a) * b of the two halves a and b of the channels, then a norm if there is one: (..., 2C) -> (..., C).

    Shazeer 2020, arXiv 2002.05202; the activation of a gated MLP.
    """

    def __init__(self, norm: nn.Module | None = None) -> None:
        """Take over the norm inside EVA-02's MLP."""
        super().__init__()
        self.norm = norm or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2C) -> (..., C)."""
        gate, value = x.chunk(2, -1)
        out: Tensor = self.norm(functional.silu(gate) * value)
        return out


class WindowAttention(Branch):
    """LayerNorm, attention inside (shifted) windows with a relative position bias, projection (Swin).

    Swin Transformer, Liu et al. 2021, section 3.2. While the bias table is frozen, bias and shift mask are summed
    once. If the table trains, every forward pass makes the sum, so that gradients reach the table.
    """

    index: Tensor
    mask: Tensor | None
    bias: Tensor

    def __init__(
        self,
        norm: nn.Module,
        qkv: nn.Linear,
        proj: nn.Linear,
        *,
        position: tuple[nn.Parameter, Tensor],
        window: tuple[int, int],
        shift: tuple[tuple[int, int], Tensor | None],
    ) -> None:
        """Take over the given modules.

        Args:
            norm: LayerNorm before the attention.
            qkv: linear (C -> 3C).
            proj: linear (C -> C).
            position: bias table (offsets, heads) and index (T, T) into it, T tokens a window.
            window: height and width of a window, in tokens.
            shift: cyclic shift (rows, columns) and its mask (windows, T, T), None if nothing is shifted.
        """
        super().__init__()
        self.norm, self.qkv, self.proj = norm, qkv, proj
        self.position_table, index = position
        self.window, (self.shift, mask) = window, shift
        self.heads = self.position_table.shape[1]
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("bias", self._sum_bias().detach(), persistent=False)

    def _sum_bias(self) -> Tensor:
        """Position bias plus shift mask: (1, G·heads, T, T), G = 1 without a shift, else windows in an image."""
        area = self.window[0] * self.window[1]
        bias = self.position_table[self.index.flatten()].view(area, area, -1).permute(2, 0, 1)  # (heads, T, T)
        if self.mask is None:
            return bias.unsqueeze(0).contiguous()
        return (bias + self.mask.unsqueeze(1)).flatten(0, 1).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C); H and W are multiples of the window's."""
        bias = self._sum_bias() if self.position_table.requires_grad else self.bias
        shifted = any(self.shift)
        x = self.norm(x)
        if shifted:
            x = torch.roll(x, (-self.shift[0], -self.shift[1]), (1, 2))
        grid = x.shape
        h = self.attend(partition(x, self.window), bias)
        h = unpartition(self.proj(h), self.window, grid)
        return torch.roll(h, self.shift, (1, 2)) if shifted else h

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attention inside each window: (B·windows, T, C) -> (B·windows, T, C), `bias` as `_sum_bias` gives it."""
        windows, tokens, _ = x.shape
        groups = bias.shape[1] // self.heads
        qkv = self.qkv(x).view(windows // groups, groups, tokens, 3, self.heads, -1)
        # Windows with masks of their own are placed beside the heads: the bias then needs no copy per image.
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3).unbind(0)  # each (B·windows/G, G·heads, T, d)
        h = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        h = h.view(windows // groups, groups, self.heads, tokens, -1).transpose(2, 3)
        return h.reshape(windows, tokens, -1)

    def flops(self, tokens: int) -> int:
        """FLOPs for one image of `tokens` tokens."""
        products = 2 * tokens * self.window[0] * self.window[1] * self.proj.in_features
        return 2 * (tokens * (self.qkv.weight.numel() + self.proj.weight.numel()) + products)


class Merge(nn.Module):
    """Patch merging between stages: (B, H, W, C) -> (B, H/2, W/2, 2C)."""

    def __init__(self, norm: nn.Module, reduction: nn.Linear) -> None:
        """Take over timm's layers."""
        super().__init__()
        self.norm, self.reduction = norm, reduction

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H/2, W/2, 2C)."""
        batch, height, width, channels = x.shape
        x = x.view(batch, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 4, 2, 5).flatten(3)
        merged: Tensor = self.reduction(self.norm(x))
        return merged


def partition(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(B, H, W, C) -> (B·windows, T, C), windows in row-major order."""
    batch, height, width, channels = x.shape
    rows, columns = window
    x = x.view(batch, height // rows, rows, width // columns, columns, channels)
    return x.transpose(2, 3).reshape(-1, rows * columns, channels)


def unpartition(x: Tensor, window: tuple[int, int], grid: torch.Size) -> Tensor:
    """Inverse of `partition`; `grid` is (B, H, W, C)."""
    batch, height, width, channels = grid
    rows, columns = window
    x = x.view(batch, height // rows, width // columns, rows, columns, channels)
    return x.transpose(2, 3).reshape(batch, height, width, channels)
