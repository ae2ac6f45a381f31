"""ONNX operators for the layers that all architectures share: one function for each kind of module.

`emit` finds the function by the module's class. The file of an architecture registers the modules that only it has.
The operations are those of `backbone.layers`. Every activation is (batch, tokens, channels), also that of a map. So
windows, shifts and merges are permutations of tokens, one operator each.
"""

from collections.abc import Callable, Sequence
from functools import singledispatch
from math import prod
from typing import NamedTuple

import torch
from timm.layers import LayerScale, QuickGELU
from torch import Tensor, nn

from backbone.cvt_model import QuickGelu
from backbone.errors import UnsupportedBackbone
from backbone.layers import GlobalAttention, Mlp, RotaryAttention, SwiGlu, WindowAttention
from backbone.onnx.builder import FLOAT, Graph

SelfAttention = GlobalAttention | WindowAttention


INT8_LIMIT = 64


class Value(NamedTuple):
    """An activation (batch, tokens, channels) in the graph.

    Attributes:
        name: of the tensor.
        grid: tokens of one image: (rows, columns) of a map, row-major, or (tokens,) of a sequence.
        channels: of one token.
    """

    name: str
    grid: tuple[int, ...]
    channels: int

    @property
    def tokens(self) -> int:
        """Tokens of one image."""
        return prod(self.grid)


@singledispatch
def emit(module: nn.Module, graph: Graph, x: Value) -> Value:
    """Add the operators that compute `module` on `x` to the graph.

    Raises:
        UnsupportedBackbone: no function is registered for this kind of module.
    """
    raise UnsupportedBackbone(f"{type(module).__name__} cannot be exported: no ONNX operators are known for it")


@emit.register
def _identity(_module: nn.Identity, _graph: Graph, x: Value) -> Value:
    return x


@emit.register
def _layer_norm(module: nn.LayerNorm, graph: Graph, x: Value) -> Value:
    inputs = [x.name, graph.weight(module.weight), graph.weight(module.bias)]
    return x._replace(name=graph.op("LayerNormalization", inputs, {"epsilon": module.eps}))


@emit.register
def _linear(module: nn.Linear, graph: Graph, x: Value) -> Value:
    return linear(graph, x, module.weight, module.bias)


@emit.register
def _gelu(module: nn.GELU, graph: Graph, x: Value) -> Value:
    return x._replace(name=graph.op("Gelu", [x.name], {"approximate": module.approximate}))


@emit.register(QuickGELU)
@emit.register(QuickGelu)
def _quick_gelu(_module: nn.Module, graph: Graph, x: Value) -> Value:
    gate = graph.op("Sigmoid", [graph.op("Mul", [x.name, graph.number(1.702)])])
    return x._replace(name=graph.op("Mul", [x.name, gate]))


@emit.register
def _layer_scale(module: LayerScale, graph: Graph, x: Value) -> Value:
    return x._replace(name=graph.op("Mul", [x.name, graph.weight(module.gamma)]))


@emit.register
def _mlp(branch: Mlp, graph: Graph, x: Value) -> Value:
    for module in (branch.norm, branch.fc1, branch.act, branch.fc2, branch.scale):
        x = emit(module, graph, x)
    return x


@emit.register
def _global_attention(branch: GlobalAttention, graph: Graph, x: Value) -> Value:
    mixed = self_attention(graph, emit(branch.norm, graph, x), branch, blocks=(x.tokens,))
    return emit(branch.scale, graph, emit(branch.proj, graph, mixed))


@emit.register
def _rotary_attention(branch: RotaryAttention, graph: Graph, x: Value) -> Value:
    def rotated(name: str) -> str:
        return _rotated(branch, graph, name, x.tokens)

    mixed = self_attention(graph, emit(branch.norm, graph, x), branch, blocks=(x.tokens,), rotated=rotated)
    return emit(branch.scale, graph, emit(branch.proj, graph, emit(branch.inner, graph, mixed)))


def _rotated(branch: RotaryAttention, graph: Graph, x: str, tokens: int) -> str:
    """Queries or keys (B, heads, L, d): x · cos + (x · R) · sin, where R turns each pair of channels by a quarter."""
    patches, head = branch.cosine.shape[-2:]
    outer = branch.cosine.shape[:-2]
    still = torch.ones(*outer, tokens - patches, head)  # tokens before the patches have no position
    cosine = torch.cat([still, branch.cosine], -2)
    sine = torch.cat([torch.zeros_like(still), branch.sine], -2)
    quarter = branch.quarter(torch.eye(head))
    turned = graph.op("Mul", [graph.op("MatMul", [x, graph.weight(quarter)]), graph.weight(sine)])
    return graph.op("Add", [graph.op("Mul", [x, graph.weight(cosine)]), turned])


@emit.register
def _swiglu(module: SwiGlu, graph: Graph, x: Value) -> Value:
    half = x.channels // 2
    gate, value = (
        graph.op("Slice", [x.name, graph.ints([start]), graph.ints([start + half]), graph.ints([2])])
        for start in (0, half)
    )
    silu = graph.op("Mul", [gate, graph.op("Sigmoid", [gate])])
    return emit(module.norm, graph, Value(graph.op("Mul", [silu, value]), x.grid, half))


def linear(graph: Graph, x: Value, weight: Tensor, bias: Tensor | None) -> Value:
    """(B, L, C) -> (B, L, K) by `weight` (K, C) and `bias` (K)."""
    channels = len(weight)
    tokens = graph.op("Reshape", [x.name, graph.ints([-1, x.channels])])
    product = (int8_product if graph.int8 else float_product)(graph, tokens, weight, bias)
    return Value(graph.op("Reshape", [product, graph.ints([-1, x.tokens, channels])]), x.grid, channels)


def float_product(graph: Graph, x: str, weight: Tensor, bias: Tensor | None) -> str:
    """(n, C) -> (n, K)."""
    # Gemm adds the bias while it computes. MatMul and Add would need 36 more passes over the activations of a Swin-T.
    return graph.op("Gemm", [x, graph.weight(weight)] + ([] if bias is None else [graph.weight(bias)]), {"transB": 1})


def int8_product(graph: Graph, x: str, weight: Tensor, bias: Tensor | None) -> str:
    """(n, C) -> (n, K) in int8. ONNX Runtime fuses these operators into one of its own.

    Activations are uint8, with a scale that each run computes. Weights are int8, with a scale for each output. They
    lie between -64 and 64: x86 processors without VNNI add pairs of products in 16 bits, which would overflow with
    larger weights.
    """
    scales = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / INT8_LIMIT  # (K)
    rounded = (weight / scales[:, None]).round().to(torch.int8)
    values, scale, zero = graph.quantise(x)
    sums = graph.op("MatMulInteger", [values, graph.int8_weight(rounded.t()), zero])
    factor = graph.op("Mul", [scale, graph.weight(scales)])
    product = graph.op("Mul", [graph.op("Cast", [sums], {"to": FLOAT}), factor])
    return product if bias is None else graph.op("Add", [product, graph.weight(bias)])


def self_attention(
    graph: Graph,
    x: Value,
    branch: SelfAttention,
    *,
    blocks: Sequence[int],
    bias: Tensor | None = None,
    rotated: Callable[[str], str] = str,
) -> Value:
    """Multi-head attention inside blocks of tokens, up to the projection: (B, L, C) -> (B, L, C).

    Args:
        graph: gets the operators.
        x: after the norm; the tokens of a block lie one behind the other.
        branch: holds the weights.
        blocks: (windows, T), or (T,) for one block of all tokens.
        bias: (windows or 1, heads, T, T), added to the scores.
        rotated: queries and keys (B, …, heads, T, d) by the positions of their tokens.
    """
    head = x.channels // branch.heads
    weights = branch.qkv.weight.chunk(3)
    biases = (None, None, None) if branch.qkv.bias is None else branch.qkv.bias.chunk(3)
    # Three products: the result of a single one would have to be split by copies.
    parts = [linear(graph, x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    q, k, v = (split_heads(graph, part.name, (*blocks, branch.heads, head)) for part in parts)
    mixed = attend(graph, (rotated(q), rotated(k), v), rank=len(blocks) + 3, scale=head**-0.5, bias=bias)
    return x._replace(name=graph.op("Reshape", [mixed, graph.ints([0, x.tokens, x.channels])]))


def split_heads(graph: Graph, x: str, shape: Sequence[int]) -> str:
    """(B, L, C) -> (B, …, heads, T, d), where `shape` is (…, T, heads, d)."""
    return swap_heads(graph, graph.op("Reshape", [x, graph.ints([0, *shape])]), rank=len(shape) + 1)


def swap_heads(graph: Graph, x: str, *, rank: int) -> str:
    """(B, …, T, heads, d) -> (B, …, heads, T, d), and back."""
    order = [*range(rank - 3), rank - 2, rank - 3, rank - 1]
    return graph.op("Transpose", [x], {"perm": order})


def attend(graph: Graph, qkv: tuple[str, str, str], *, rank: int, scale: float, bias: Tensor | None = None) -> str:
    """Queries, keys, values (B, …, heads, T, d), `rank` axes each -> (B, …, T, heads, d)."""
    q, k, v = qkv
    keys = graph.op("Transpose", [k], {"perm": [*range(rank - 2), rank - 1, rank - 2]})
    scores = graph.op("MatMul", [graph.op("Mul", [q, graph.number(scale)]), keys])  # (B, …, heads, T, T)
    if bias is not None:
        scores = graph.op("Add", [scores, graph.weight(bias)])
    weights = graph.op("Softmax", [scores], {"axis": -1})
    return swap_heads(graph, graph.op("MatMul", [weights, v]), rank=rank)


def permute(graph: Graph, x: str, order: Tensor) -> str:
    """(B, L, C) -> (B, L, C): the new token i is the old token `order[i]`."""
    if torch.equal(order, torch.arange(len(order))):
        return x
    return graph.op("Gather", [x, graph.ints(order.tolist())], {"axis": 1})


def patches(graph: Graph, projection: nn.Conv2d, image: str, grid: tuple[int, ...]) -> Value:
    """A convolution of a map (B, C, H, W) to a grid of tokens: (B, tokens, C')."""
    pads = [int(side) for side in projection.padding] * 2
    attributes = {"strides": projection.stride, "pads": pads, "group": projection.groups}
    inputs = [image, graph.weight(projection.weight)]
    if projection.bias is not None:
        inputs.append(graph.weight(projection.bias))
    flat = [0, projection.out_channels, prod(grid)]
    tokens = graph.op("Reshape", [graph.op("Conv", inputs, attributes), graph.ints(flat)])
    return Value(graph.op("Transpose", [tokens], {"perm": [0, 2, 1]}), grid, projection.out_channels)


def mean(graph: Graph, x: Value) -> Value:
    """The mean over all tokens: (B, C)."""
    name = graph.op("ReduceMean", [x.name, graph.ints([1])], {"keepdims": 0})
    return Value(name, (), x.channels)
