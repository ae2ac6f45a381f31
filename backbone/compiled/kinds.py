"""Which sub-layers share a program: those that differ in the values of their weights alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor, nn

from backbone.network import Backbone, SubLayer

_SIMPLE = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True)
class Kind:
    """What sub-layers that share a program have in common.

    Attributes:
        digest: names the kind.
        shape: of what enters, for one image: (H, W, C) or (L, C).
        site: one such sub-layer.
    """

    digest: str
    shape: tuple[int, ...]
    site: SubLayer


def kinds_of(backbone: Backbone) -> list[Kind]:
    """The kind of each sub-layer, in their order."""
    shapes = _entering(backbone)
    return [Kind(_digest(site.branch, shape), shape, site) for site, shape in zip(backbone.sites, shapes, strict=True)]


def weights_of(branch: nn.Module) -> list[Tensor]:
    """Parameters and buffers, in the order in which a program takes them."""
    return [tensor.detach() for _, tensor in named_weights(branch)]


def named_weights(branch: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, then buffers."""
    yield from branch.named_parameters()
    yield from branch.named_buffers()


@torch.inference_mode()
def _entering(backbone: Backbone) -> list[tuple[int, ...]]:
    """Shapes of what enters each branch, seen on one image."""
    x = backbone.embed(torch.zeros(1, 3, *backbone.preprocessing.size))
    shapes = []
    for site in backbone.sites:
        x = site.enter(x)
        shapes.append(tuple(x.shape[1:]))
        x = x + site.branch(x)
    return shapes


def _digest(branch: nn.Module, shape: tuple[int, ...]) -> str:
    """Over everything but values: classes, plain attributes, names and shapes of weights."""
    modules = [(name, type(module).__qualname__, _plain(module)) for name, module in branch.named_modules()]
    weights = [(name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in named_weights(branch)]
    return sha256(repr((shape, modules, weights)).encode()).hexdigest()[:16]


def _plain(module: nn.Module) -> list[tuple[str, object]]:
    return sorted((key, value) for key, value in vars(module).items() if _is_plain(value))


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(part) for part in value)
    return isinstance(value, _SIMPLE)
