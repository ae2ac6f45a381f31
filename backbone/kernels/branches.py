"""Branches over our own kernels: the same weights, the same results, one call for each."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from backbone.arithmetic import Compute, Slice
from backbone.kernels import bindings
from backbone.kernels.bindings import BARE, Library, sum_of
from backbone.layers import Branch, Mlp, WindowAttention

_MOST_TOKENS = 256  # of a window; beyond, a tile is too large for a core's own cache


def fast(branch: Branch, library: Library) -> Compute | None:
    """What computes a frozen `branch` over the kernels, its weights where they lie; None where they do not know it."""
    if isinstance(branch, WindowAttention):
        return FastWindowAttention(branch, library) if _knows_attention(branch, library) else None
    if isinstance(branch, Mlp):
        return FastMlp(branch, library) if _knows_mlp(branch, library) else None
    return None


def _knows_attention(branch: WindowAttention, library: Library) -> bool:
    fits = branch.window[0] * branch.window[1] <= _MOST_TOKENS and branch.proj.out_features % library.lanes == 0
    return fits and _is_layer_norm(branch.norm) and _have_bias(branch.qkv, branch.proj)


def _knows_mlp(branch: Mlp, library: Library) -> bool:
    whole = (branch.fc1.in_features, branch.fc1.out_features, branch.fc2.out_features)
    exact = isinstance(branch.act, nn.GELU) and branch.act.approximate == "none"
    fits = exact and not any(channels % library.lanes for channels in whole)
    return fits and _is_layer_norm(branch.norm) and _have_bias(branch.fc1, branch.fc2)


def _is_layer_norm(norm: nn.Module) -> bool:
    return isinstance(norm, nn.LayerNorm) and isinstance(norm.weight, Tensor) and isinstance(norm.bias, Tensor)


def _have_bias(*layers: nn.Module) -> bool:
    """Whether they are linear layers and nothing more, such as ones that a training method stands around."""
    return all(type(layer) is nn.Linear and isinstance(layer.bias, Tensor) for layer in layers)


class FastMlp:
    """`Mlp` with exact GELU."""

    def __init__(self, branch: Mlp, library: Library) -> None:
        self._module, self._library = branch, library  # the module keeps the weights
        scale = None if isinstance(branch.scale, nn.Identity) else branch.scale(torch.ones(branch.fc2.out_features))
        self._scale = scale
        self._branch = bindings.Mlp(
            _norm(branch.norm), _linear(branch.fc1), _linear(branch.fc2), None if scale is None else scale.data_ptr()
        )

    def __call__(self, x: Tensor) -> Tensor:
        """(B, ..., C) -> (B, ..., C)."""
        return self._library.mlp(self._branch, x.contiguous(), BARE)

    def added(self, x: Tensor, live: Sequence[Slice] = ()) -> Tensor:
        """`x` plus that, adapted; `live` in the order of the slices."""
        return self._library.mlp(self._branch, x.contiguous(), sum_of(live))


class FastWindowAttention:
    """`WindowAttention` while its bias table is frozen."""

    def __init__(self, branch: WindowAttention, library: Library) -> None:
        self._module, self._library = branch, library
        self._bias = library.pad(branch.bias[0])
        depth = branch.proj.in_features // branch.heads
        self._branch = bindings.WindowAttention(
            _norm(branch.norm),
            _linear(branch.qkv),
            _linear(branch.proj),
            self._bias.data_ptr(),
            len(self._bias) // branch.heads,
            bindings.Windows(branch.heads, depth, *branch.window, *branch.shift),
        )

    def __call__(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        return self._library.window_attention(self._branch, x.contiguous(), BARE)

    def added(self, x: Tensor, live: Sequence[Slice] = ()) -> Tensor:
        """`x` plus that, adapted; `live` in the order of the slices."""
        return self._library.window_attention(self._branch, x.contiguous(), sum_of(live))


def _norm(module: nn.Module) -> bindings.Norm:
    norm = cast(nn.LayerNorm, module)
    return bindings.Norm(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps)


def _linear(layer: nn.Linear) -> bindings.Linear:
    return bindings.Linear(layer.weight.data_ptr(), layer.bias.data_ptr(), layer.in_features, layer.out_features)
