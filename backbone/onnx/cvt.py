"""ONNX operators for the modules of CvT: convolutions between its stages and before its projections."""

from torch import nn

from backbone.cvt import ClassTail, ConvAttention, ConvLinear, CvtStem, StageEntry
from backbone.cvt_model import EPS, ConvEmbed, ConvNorm
from backbone.onnx.builder import Graph
from backbone.onnx.layers import Value, attend, emit, patches, split_heads
from backbone.onnx.vit import first_token, prepend, tokens_from


@emit.register
def _stem(stem: CvtStem, graph: Graph, image: Value) -> Value:
    return _embed(graph, stem.embed, image.name, image.grid)


@emit.register
def _entry(entry: StageEntry, graph: Graph, x: Value) -> Value:
    x = _embed(graph, entry.embed, to_map(graph, x, entry.grid), entry.grid)
    return x if entry.cls_token is None else prepend(graph, entry.cls_token, x)


@emit.register
def _attention(branch: ConvAttention, graph: Graph, x: Value) -> Value:
    normed = emit(branch.norm, graph, x)
    head = x.channels // branch.heads
    projections = (_project(graph, each, normed, branch) for each in (branch.query, branch.key, branch.value))
    q, k, v = (split_heads(graph, part.name, (part.tokens, branch.heads, head)) for part in projections)
    mixed = attend(graph, (q, k, v), rank=4, scale=x.channels**-0.5)
    joined = graph.op("Reshape", [mixed, graph.ints([0, x.tokens, x.channels])])
    return emit(branch.proj, graph, x._replace(name=joined))


@emit.register
def _tail(tail: ClassTail, graph: Graph, x: Value) -> Value:
    return emit(tail.norm, graph, first_token(graph, x))


def _project(graph: Graph, projection: ConvLinear, x: Value, branch: ConvAttention) -> Value:
    """The projection to query, key or value: a convolution of the map, then a linear layer over all tokens.

    The class token skips the convolution.
    """
    image = to_map(graph, tokens_from(graph, x, branch.prefix), branch.grid)
    tokens = _conv_norm(graph, projection.conv, image, branch.grid)
    if branch.prefix:
        bounds = [graph.ints([0]), graph.ints([branch.prefix]), graph.ints([1])]
        joined = graph.op("Concat", [graph.op("Slice", [x.name, *bounds]), tokens.name], {"axis": 1})
        tokens = Value(joined, (branch.prefix + tokens.tokens,), x.channels)
    return emit(projection.linear, graph, tokens)


def _conv_norm(graph: Graph, module: ConvNorm, image: str, grid: tuple[int, ...]) -> Value:
    """Depthwise convolution and batch norm of a map (B, C, H, W) -> (B, tokens, C)."""
    x, norm = patches(graph, module.conv, image, after(module.conv, grid)), module.bn
    # Batch norm with stored statistics is one factor and one offset for each channel.
    factor = norm.weight / (norm.running_var + EPS).sqrt()
    scaled = graph.op("Mul", [x.name, graph.weight(factor)])
    return x._replace(name=graph.op("Add", [scaled, graph.weight(norm.bias - norm.running_mean * factor)]))


def _embed(graph: Graph, embed: ConvEmbed, image: str, grid: tuple[int, ...]) -> Value:
    """Convolutional token embedding of a map (B, C, H, W)."""
    return emit(embed.norm, graph, patches(graph, embed.proj, image, after(embed.proj, grid)))


def to_map(graph: Graph, x: Value, grid: tuple[int, ...]) -> str:
    """(B, H·W, C) -> (B, C, H, W)."""
    channels_first = graph.op("Transpose", [x.name], {"perm": [0, 2, 1]})
    return graph.op("Reshape", [channels_first, graph.ints([0, x.channels, *grid])])


def after(conv: nn.Conv2d, grid: tuple[int, ...]) -> tuple[int, ...]:
    """The output grid of a convolution over `grid`."""
    pads = [int(pad) for pad in conv.padding]
    sizes = zip(grid, conv.kernel_size, conv.stride, pads, strict=True)
    return tuple((side + 2 * pad - kernel) // stride + 1 for side, kernel, stride, pad in sizes)
