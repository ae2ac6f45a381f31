"""Methods that add no parameters. They train the whole network, one kind of block, the biases, or the head alone.

MiMi (Marouf, Tartaglione, Lathuilière, WACV 2024), table 1; BitFit is Ben Zaken et al. 2022 (arXiv 2106.10199).
"""

import re
from collections.abc import Callable

import torch

from backbone import Backbone
from training.methods.parts import fork, linears_of
from training.model import TaskModel

_ATTENTION = re.compile(r"layers\.\d+\.branch\.(qkv\.|proj\.|position_table$)")
_MLP = re.compile(r"layers\.\d+\.branch\.fc[12]\.")
# The paper trains every parameter whose name contains "bias", and in timm's naming that takes in Swin's
# relative_position_bias_table, which is position_table here.
_BIAS = re.compile(r"(^|\.)(bias|position_table)$")


def _train(backbone: Backbone, classes: int, seed: int, trained: Callable[[str], bool]) -> TaskModel:
    return TaskModel(fork(backbone, trained), classes, torch.Generator().manual_seed(seed))


def linear_probe(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """The head alone."""
    return TaskModel(backbone, classes, torch.Generator().manual_seed(seed))


def full(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """Every parameter."""
    return _train(backbone, classes, seed, lambda _: True)


def attention(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """Weights and biases of qkv and proj, and the relative position tables; norms stay frozen.

    Raises:
        UnsupportedBackbone: attention with other layers, which the names would miss.
    """
    for site in backbone.sites:
        linears_of(site.branch)
    return _train(backbone, classes, seed, lambda name: bool(_ATTENTION.match(name)))


def mlp(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """Weights and biases of fc1 and fc2; norms stay frozen."""
    return _train(backbone, classes, seed, lambda name: bool(_MLP.match(name)))


def bitfit(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """Every bias, those of norms and of the stem included, and the relative position tables."""
    return _train(backbone, classes, seed, lambda name: bool(_BIAS.search(name)))
