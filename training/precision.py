"""In which numbers a device computes: bfloat16 on CUDA, float32 on a CPU. What trains is float32 on both.

Autocast keeps no cast of a weight that does not train: it would cast every frozen weight again in every forward. So
where it is on, frozen products are stored in bfloat16, which gives the same bits. Norms and position tables stay
float32, as autocast wants them.
"""

import copy

import torch
from torch import nn

from backbone import Backbone


def lowers(device: torch.device) -> bool:
    """Whether products are computed in bfloat16 there."""
    return device.type == "cuda"


def autocast(device: torch.device) -> torch.autocast:
    """The context of every forward pass of training and evaluation."""
    return torch.autocast(device.type, torch.bfloat16, enabled=lowers(device))


def resident(backbone: Backbone) -> Backbone:
    """A frozen backbone to train adapters on: itself, or a copy with its products in bfloat16 where the device wants.

    Files are made from the original: a copy's forward means nothing outside `autocast`.
    """
    if not lowers(next(backbone.parameters()).device):
        return backbone
    lowered = copy.deepcopy(backbone)
    for module in lowered.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)
    return lowered
