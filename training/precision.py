"""In which numbers a device computes. What trains is float32 everywhere, and so are its moments and scores.

With "bf16" the products are in bfloat16: on CUDA under autocast, which keeps no cast of a weight that does not train
and would cast every frozen weight again in every forward, so that these are stored in bfloat16; on a CPU with layers
of our own (`training.frozen`).
"""

import copy

import torch
from torch import nn

from backbone import Backbone
from training.bare import lower_bare
from training.frozen import freeze_products
from training.options import Precision


def lowers(device: torch.device, precision: Precision) -> bool:
    """Whether products are computed in bfloat16 there."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """The context of every forward pass of training and evaluation."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_casts(device) and lowers(device, precision))


def resident(backbone: Backbone, precision: Precision = "auto") -> Backbone:
    """A frozen backbone to train adapters on: itself, or a copy with its products in bfloat16.

    Files are made from the original: a copy's forward on CUDA means nothing outside `autocast`.
    """
    device = next(backbone.parameters()).device
    if not lowers(device, precision):
        return backbone
    lowered = copy.deepcopy(backbone)
    if _casts(device):
        _store(lowered)
    else:
        freeze_products(lowered)
        lower_bare(lowered, backbone)
    return lowered


def _casts(device: torch.device) -> bool:
    """Whether it is autocast that lowers there."""
    return device.type == "cuda"


def _store(backbone: Backbone) -> None:
    """Products in bfloat16, norms and position tables in float32, as autocast wants them."""
    for module in backbone.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)
