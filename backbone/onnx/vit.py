"""ONNX operators for the modules of ViT: prefix tokens, position embedding, pooling of a sequence."""

import torch
from torch import Tensor

from backbone.onnx.builder import Graph
from backbone.onnx.layers import Value, attend, emit, linear, mean, patches, split_heads
from backbone.vit import LatentTail, TokenTail, VitStem


@emit.register
def _stem(stem: VitStem, graph: Graph, image: Value) -> Value:
    x = patches(graph, stem.patch.proj, image.name, (stem.patch.num_patches,))
    x = emit(stem.patch.norm, graph, x)
    skipped = 0 if stem.skip_prefix or stem.position is None else len_of(stem)
    prefix = _prefix(stem, skipped)
    if stem.position is not None:
        x = x._replace(name=graph.op("Add", [x.name, graph.weight(stem.position[:, skipped:])]))
    return emit(stem.norm, graph, prepend(graph, prefix, x) if prefix is not None else x)


def _prefix(stem: VitStem, positioned: int) -> Tensor | None:
    """Class and register tokens (1, P, C), with their position embedding if they have one."""
    if not len(stem.prefix):
        return None
    tokens = torch.cat(list(stem.prefix), 1)
    return tokens + stem.position[:, :positioned] if positioned else tokens


def len_of(stem: VitStem) -> int:
    """The number of prefix tokens."""
    return sum(token.shape[1] for token in stem.prefix)


def prepend(graph: Graph, prefix: Tensor, x: Value) -> Value:
    """Put the tokens `prefix` (1, P, C) in front of the tokens of every image."""
    count = prefix.shape[1]
    batch = graph.op("Shape", [x.name], {"start": 0, "end": 1})
    shape = graph.op("Concat", [batch, graph.ints(prefix.shape[1:])], {"axis": 0})
    repeated = graph.op("Expand", [graph.weight(prefix), shape])
    return Value(graph.op("Concat", [repeated, x.name], {"axis": 1}), (count + x.tokens,), x.channels)


@emit.register
def _tail(tail: TokenTail, graph: Graph, x: Value) -> Value:
    x = emit(tail.norm, graph, x)
    pooled = mean(graph, tokens_from(graph, x, tail.skip)) if tail.average else first_token(graph, x)
    return emit(tail.feature_norm, graph, pooled)


@emit.register
def _latent_tail(tail: LatentTail, graph: Graph, x: Value) -> Value:
    head = x.channels // tail.heads
    shape = (x.tokens, tail.heads, head)
    x = emit(tail.norm, graph, x)
    parts = zip(tail.kv.weight.chunk(2), tail.kv.bias.chunk(2), strict=True)
    keys, values = (split_heads(graph, linear(graph, x, *part).name, shape) for part in parts)
    query = graph.weight(tail.query.view(1, 1, tail.heads, head).transpose(1, 2))  # (1, heads, 1, d)
    mixed = attend(graph, (query, keys, values), rank=4, scale=head**-0.5)  # (B, 1, heads, d)
    name = graph.op("Reshape", [mixed, graph.ints([0, 1, x.channels])])
    pooled = emit(tail.proj, graph, Value(name, (1,), x.channels))
    h = pooled
    for module in (tail.mlp_norm, tail.fc1, tail.act, tail.fc2):
        h = emit(module, graph, h)
    pooled = pooled._replace(name=graph.op("Add", [pooled.name, h.name]))
    return emit(tail.feature_norm, graph, first_token(graph, pooled))


def tokens_from(graph: Graph, x: Value, start: int) -> Value:
    """The tokens of a sequence from index `start` on."""
    bounds = [graph.ints([start]), graph.ints([x.tokens]), graph.ints([1])]
    return Value(graph.op("Slice", [x.name, *bounds]), (x.tokens - start,), x.channels) if start else x


def first_token(graph: Graph, x: Value) -> Value:
    """The class token: (B, C)."""
    # A scalar index removes the axis; a vector of one element would keep it.
    index = graph.op("Squeeze", [graph.ints([0])])
    return Value(graph.op("Gather", [x.name, index], {"axis": 1}), (), x.channels)
