"""ONNX operators for the modules of Swin. Windows, shifts and patch merging are permutations of tokens."""

import torch
from torch import Tensor

from backbone.layers import Merge, WindowAttention, partition
from backbone.onnx.builder import Graph
from backbone.onnx.layers import Value, emit, mean, patches, permute, self_attention
from backbone.swin import MapTail, SwinStem


@emit.register
def _stem(stem: SwinStem, graph: Graph, image: Value) -> Value:
    tokens = patches(graph, stem.patch.proj, image.name, stem.patch.grid_size)
    return emit(stem.patch.norm, graph, tokens)


@emit.register
def _merge(merge: Merge, graph: Graph, x: Value) -> Value:
    height, width = x.grid
    fours = numbers(x).view(height // 2, 2, width // 2, 2).permute(0, 2, 3, 1)  # the order of `Merge.forward`
    grid = (height // 2, width // 2)
    gathered = permute(graph, x.name, fours.flatten())
    shape = graph.ints([0, x.tokens // 4, 4 * x.channels])
    merged = Value(graph.op("Reshape", [gathered, shape]), grid, 4 * x.channels)
    return emit(merge.reduction, graph, emit(merge.norm, graph, merged))


@emit.register
def _window_attention(branch: WindowAttention, graph: Graph, x: Value) -> Value:
    order = window_order(branch, x)  # (windows, T)
    normed = emit(branch.norm, graph, x)
    windows = normed._replace(name=permute(graph, normed.name, order.flatten()))
    bias = branch.bias.view(-1, branch.heads, *branch.bias.shape[2:])  # (windows or 1, heads, T, T)
    h = emit(branch.proj, graph, self_attention(graph, windows, branch, blocks=tuple(order.shape), bias=bias))
    return h._replace(name=permute(graph, h.name, order.flatten().argsort()))


@emit.register
def _tail(tail: MapTail, graph: Graph, x: Value) -> Value:
    return mean(graph, emit(tail.norm, graph, x))


def window_order(branch: WindowAttention, x: Value) -> Tensor:
    """Indices of the tokens in each (shifted) window: (windows, T)."""
    rows, columns = branch.shift
    return partition(numbers(x).roll((-rows, -columns), (1, 2)), branch.window).squeeze(-1)


def numbers(x: Value) -> Tensor:
    """The index of each token of a map: (1, H, W, 1)."""
    return torch.arange(x.tokens).view(1, *x.grid, 1)
