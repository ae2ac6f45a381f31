"""From sub-layers to the steps that the compiled kernels compute, with the same results."""

import ctypes
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from backbone.kernels.bindings import Library
from backbone.kernels.structures import ADDED, Attention, Linear, Merging, Mlp, Norm, Stem, Step, Windows
from backbone.layers import Branch, GlobalAttention, Merge, WindowAttention
from backbone.layers import Mlp as MlpModule
from backbone.network import SubLayer
from backbone.swin import SwinStem

_MOST_TOKENS = (
    640  # that attend to one another; with more, a tile no longer fits a core's own cache, and none was timed
)


def stem_of(stem: nn.Module, library: Library) -> Stem | None:
    """Swin's patch embedding; None for another stem, or where the kernels do not support it."""
    if not isinstance(stem, SwinStem) or not _is_layer_norm(stem.patch.norm):
        return None
    patch = stem.patch.proj
    outputs, planes, *side = patch.weight.shape
    square = side[0] == side[1] and patch.stride == patch.kernel_size and patch.padding == (0, 0)
    pixels = planes * prod(side)
    if not (square and isinstance(patch.bias, Tensor) and outputs % library.lanes == pixels % library.lanes == 0):
        return None
    # Never rounded: where a patch has one colour, the norm would enlarge what rounding its pixels adds.
    layer = library.linear(patch.weight.view(outputs, pixels), patch.bias, exact=True)
    return Stem(layer, _norm(stem.patch.norm), side[0])


def step_of(site: SubLayer, library: Library) -> Step | None:
    """A frozen sub-layer with its entry; None if the kernels do not support it."""
    step = branch_step(site.branch, site.tokens, library)
    if step is None or isinstance(site.enter, nn.Identity):
        return step
    if not (isinstance(site.enter, Merge) and _knows_merge(site.enter, library)):
        return None
    step.merging = ctypes.pointer(Merging(_norm(site.enter.norm), _linear(site.enter.reduction, library)))
    return step


def branch_step(branch: Branch, tokens: int, library: Library) -> Step | None:
    """A frozen branch for this many tokens of an image, whose input is added; None if the kernels do not support it."""
    if isinstance(branch, WindowAttention) and _knows_attention(branch, prod(branch.window), library):
        return _window_attention(branch, library)
    if type(branch) is GlobalAttention and _knows_attention(branch, tokens, library):
        return _global_attention(branch, library)
    if isinstance(branch, MlpModule) and _knows_mlp(branch, library):
        return _mlp(branch, library)
    return None


def _knows_attention(branch: WindowAttention | GlobalAttention, tokens: int, library: Library) -> bool:
    fits = tokens <= _MOST_TOKENS and branch.proj.out_features % library.lanes == 0
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
    """Whether they are plain linear layers with a bias: not wrapped by a training method, for example."""
    return all(type(layer) is nn.Linear and isinstance(layer.bias, Tensor) for layer in layers)


def _window_attention(branch: WindowAttention, library: Library) -> Step:
    bias, depth = library.pad(branch.bias[0]), branch.proj.in_features // branch.heads
    windows, groups = Windows(branch.heads, depth, *branch.window, *branch.shift), len(bias) // branch.heads
    attention = Attention(*_attention_layers(branch, library), None, bias.data_ptr(), groups, windows)
    return _held(Step(attention=ctypes.pointer(attention), ending=ADDED), branch, bias)


def _global_attention(branch: GlobalAttention, library: Library) -> Step:
    scale, whole = _scale(branch.scale, branch.proj), Windows(branch.heads, branch.proj.in_features // branch.heads)
    attention = Attention(*_attention_layers(branch, library), _pointer(scale), None, 1, whole)
    return _held(Step(attention=ctypes.pointer(attention), ending=ADDED), branch, scale)


def _attention_layers(branch: WindowAttention | GlobalAttention, library: Library) -> tuple[Norm, Linear, Linear]:
    return _norm(branch.norm), _linear(branch.qkv, library), _linear(branch.proj, library)


def _mlp(branch: MlpModule, library: Library) -> Step:
    scale = _scale(branch.scale, branch.fc2)
    mlp = Mlp(_norm(branch.norm), _linear(branch.fc1, library), _linear(branch.fc2, library), _pointer(scale))
    return _held(Step(mlp=ctypes.pointer(mlp), ending=ADDED), branch, scale)


def _linear(layer: nn.Linear, library: Library) -> Linear:
    return library.linear(layer.weight, layer.bias)


def _scale(module: nn.Module, last: nn.Linear) -> Tensor | None:
    """LayerScale's factor for each channel of the branch's last layer; None without LayerScale."""
    scale: Tensor | None = None if isinstance(module, nn.Identity) else module(torch.ones(last.out_features))
    return scale


def _pointer(memory: Tensor | None) -> int | None:
    return None if memory is None else memory.data_ptr()


def _held(step: Step, *memory: object) -> Step:
    """The step; it keeps the memory alive that its pointers point into."""
    step.memory = memory
    return step


def _norm(module: nn.Module) -> Norm:
    norm = cast(nn.LayerNorm, module)
    return Norm(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps)
