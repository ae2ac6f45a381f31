"""Sub-layers over our own kernels: the same weights, the same results, fewer passes over memory.

A sub-layer takes so many rows at a time that what lies between its products stays in the processor's cache. The
products themselves remain PyTorch's.
"""

import torch
from torch import Tensor, nn

from backbone.kernels.bindings import Library, Windows
from backbone.layers import Branch, Compute, Mlp, WindowAttention

_ROWS = 3136  # tokens at a time: one image of Swin's first stage, whose hidden layer is 4.8 MB
_MOST_TOKENS = 256  # of a window; beyond, a tile is too large for a core's own cache


def fast(branch: Branch, library: Library) -> Compute | None:
    """What computes `branch` over the kernels; None where they do not help."""
    if isinstance(branch, WindowAttention):
        fits = branch.window[0] * branch.window[1] <= _MOST_TOKENS and _have_bias(branch.qkv, branch.proj)
        return FastWindowAttention(branch, library) if fits else None
    if isinstance(branch, Mlp):
        whole = branch.fc1.out_features % library.lanes == 0 and _have_bias(branch.fc1, branch.fc2)
        return FastMlp(branch, library) if whole and _is_gelu(branch.act) else None
    return None


def _have_bias(*layers: nn.Linear) -> bool:
    return all(isinstance(layer.bias, Tensor) for layer in layers)


def _is_gelu(act: nn.Module) -> bool:
    """Whether it is the exact one."""
    return isinstance(act, nn.GELU) and act.approximate == "none"


class FastMlp:
    """`Mlp` with exact GELU; bias and activation are one pass."""

    def __init__(self, branch: Mlp, library: Library) -> None:
        self._library, self._norm, self._scale = library, branch.norm, branch.scale
        self._up, self._up_bias = _columns(branch.fc1)
        self._down, self._down_bias = _columns(branch.fc2)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        rows = x.reshape(-1, x.shape[-1])
        out = torch.empty_like(rows)
        hidden = rows.new_empty(min(_ROWS, len(rows)), self._up.shape[1])
        for tokens, result in zip(rows.split(_ROWS), out.split(_ROWS), strict=True):
            a = hidden[: len(tokens)]
            torch.mm(self._norm(tokens), self._up, out=a)
            self._library.bias_gelu_(a, self._up_bias)
            torch.addmm(self._down_bias, a, self._down, out=result)
        scaled: Tensor = self._scale(out.view(x.shape))
        return scaled


class FastWindowAttention:
    """`WindowAttention` while its bias table is frozen: windows are read and written where they lie in the map."""

    def __init__(self, branch: WindowAttention, library: Library) -> None:
        self._library, self._norm = library, branch.norm
        self._qkv, self._qkv_bias = _columns(branch.qkv)
        self._proj, self._proj_bias = _columns(branch.proj)
        self._bias = library.pad(branch.bias[0])
        depth = branch.proj.in_features // branch.heads
        self._windows = Windows(branch.heads, depth, *branch.window, *branch.shift)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = x.contiguous()
        out, images = torch.empty_like(x), max(1, _ROWS // (x.shape[1] * x.shape[2]))
        qkv = x.new_empty(min(images, len(x)), *x.shape[1:3], 3 * x.shape[3])
        for maps, result in zip(x.split(images), out.split(images), strict=True):
            self._attend(maps, qkv[: len(maps)], result)
        return out

    def _attend(self, x: Tensor, qkv: Tensor, out: Tensor) -> None:
        normed: Tensor = self._norm(x)
        torch.mm(normed.flatten(0, 2), self._qkv, out=qkv.flatten(0, 2))
        # The normed maps are spent: their place takes what attention gives.
        self._library.window_attention(qkv, self._qkv_bias, self._bias, self._windows, normed)
        torch.addmm(self._proj_bias, normed.flatten(0, 2), self._proj, out=out.flatten(0, 2))


def _columns(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight (K, C) as a view, and bias (C): looked up once, because modules look theirs up slowly."""
    return linear.weight.detach().t(), linear.bias.detach()
