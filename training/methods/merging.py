"""What a trained model costs to serve once its parts are folded into the weights: a plain network and a head.

Knows no method: a part that stands around a module says itself which plain module replaces it (parts.Around.merged).
"""

import torch
from torch import nn

from backbone import Backbone
from backbone.fingerprint import fingerprint_of
from backbone.layers import WindowAttention
from training.methods.parts import Around, AroundBranch, fork
from training.model import TaskModel


def merged(model: TaskModel) -> TaskModel:
    """The plain architecture, frozen, and the head of `model`, with the logits `model` has when it evaluates.

    It shares the tensors that `model` left frozen; all others are copies, so `model` may train on.

    Raises:
        ValueError: a part of `model` cannot be folded into any weight.
    """
    trained = model.own_parameters().keys()
    if strangers := trained - dict(model.backbone.named_parameters()).keys():
        raise ValueError(f"{min(strangers)} acts outside the network and cannot be merged into it")
    plain = fork(model.backbone, trained.__contains__)
    _replace_parts(plain)
    _sum_biases(plain)
    plain.requires_grad_(False)
    plain.eval()
    plain.fingerprint = fingerprint_of(plain)
    result = TaskModel(plain, model.head.out_features, torch.Generator())
    result.load_state_dict(model.head.state_dict(prefix="head."), strict=False)
    return result.to(model.head.weight.device).eval()


def _replace_parts(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, AroundBranch):
            raise ValueError(f"{type(child).__name__} cannot be merged into the frozen network")
        if isinstance(child, Around):
            setattr(module, name, child.merged())
        else:
            _replace_parts(child)


def _sum_biases(backbone: Backbone) -> None:
    """Where a position table trained, attention is made anew, so that it sums bias and mask once and for all."""
    for site in backbone.sites:
        old = site.branch
        if isinstance(old, WindowAttention) and old.position_table.requires_grad:
            position, shift = (old.position_table, old.index), (old.shift, old.mask)
            site.branch = WindowAttention(
                old.norm, old.qkv, old.proj, position=position, window=old.window, shift=shift
            )
