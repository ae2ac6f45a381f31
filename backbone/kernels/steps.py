"""Sub-layers as our own kernels know them: with the same results."""

import ctypes
from typing import cast

import torch
from torch import Tensor, nn

from backbone.kernels.bindings import Library
from backbone.kernels.structures import ADDED, Merging, Mlp, Norm, Step, WindowAttention, Windows
from backbone.layers import Branch, Merge
from backbone.layers import Mlp as MlpModule
from backbone.layers import WindowAttention as AttentionModule
from backbone.network import SubLayer

_MOST_TOKENS = 256  # of a window; beyond, a tile is too large for a core's own cache


def step_of(site: SubLayer, library: Library) -> Step | None:
    """A frozen sub-layer, what enters it included; None where the kernels do not know it."""
    step = branch_step(site.branch, library)
    if step is None or isinstance(site.enter, nn.Identity):
        return step
    if not (isinstance(site.enter, Merge) and _knows_merge(site.enter, library)):
        return None
    step.merging = ctypes.pointer(Merging(_norm(site.enter.norm), library.linear(site.enter.reduction)))
    return step


def branch_step(branch: Branch, library: Library) -> Step | None:
    """A frozen branch, likewise; what entered is added to it."""
    if isinstance(branch, AttentionModule) and _knows_attention(branch, library):
        return _attention(branch, library)
    if isinstance(branch, MlpModule) and _knows_mlp(branch, library):
        return _mlp(branch, library)
    return None


def _knows_attention(branch: AttentionModule, library: Library) -> bool:
    fits = branch.window[0] * branch.window[1] <= _MOST_TOKENS and branch.proj.out_features % library.lanes == 0
    return fits and _is_layer_norm(branch.norm) and _have_bias(branch.qkv, branch.proj)


def _knows_mlp(branch: MlpModule, library: Library) -> bool:
    whole = (branch.fc1.in_features, branch.fc1.out_features, branch.fc2.out_features)
    exact = isinstance(branch.act, nn.GELU) and branch.act.approximate == "none"
    fits = exact and not any(channels % library.lanes for channels in whole)
    return fits and _is_layer_norm(branch.norm) and _have_bias(branch.fc1, branch.fc2)


def _knows_merge(enter: Merge, library: Library) -> bool:
    plain = type(enter.reduction) is nn.Linear and enter.reduction.bias is None
    return plain and _is_layer_norm(enter.norm) and enter.reduction.in_features % (4 * library.lanes) == 0


def _is_layer_norm(norm: nn.Module) -> bool:
    return isinstance(norm, nn.LayerNorm) and isinstance(norm.weight, Tensor) and isinstance(norm.bias, Tensor)


def _have_bias(*layers: nn.Module) -> bool:
    """Whether they are linear layers and nothing more, such as ones that a training method stands around."""
    return all(type(layer) is nn.Linear and isinstance(layer.bias, Tensor) for layer in layers)


def _attention(branch: AttentionModule, library: Library) -> Step:
    bias, depth = library.pad(branch.bias[0]), branch.proj.in_features // branch.heads
    windows = Windows(branch.heads, depth, *branch.window, *branch.shift)
    parts = (
        _norm(branch.norm),
        library.linear(branch.qkv),
        library.linear(branch.proj),
        bias.data_ptr(),
        len(bias) // branch.heads,
    )
    return _held(Step(attention=ctypes.pointer(WindowAttention(*parts, windows)), ending=ADDED), branch, bias)


def _mlp(branch: MlpModule, library: Library) -> Step:
    scale = None if isinstance(branch.scale, nn.Identity) else branch.scale(torch.ones(branch.fc2.out_features))
    parts = (
        _norm(branch.norm),
        library.linear(branch.fc1),
        library.linear(branch.fc2),
        None if scale is None else scale.data_ptr(),
    )
    return _held(Step(mlp=ctypes.pointer(Mlp(*parts)), ending=ADDED), branch, scale)


def _held(step: Step, *memory: object) -> Step:
    """The step, and with it what its pointers point into."""
    step.memory = memory
    return step


def _norm(module: nn.Module) -> Norm:
    norm = cast(nn.LayerNorm, module)
    return Norm(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps)
