"""The cost of serving a trained model: its parts folded into the weights where that is possible, and its FLOPs.

This file knows no method: `parts.Around.merged` of a part gives the plain module that replaces it.
"""

from collections.abc import Callable, Mapping, Sequence
from math import floor
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

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
    """Rebuild attention whose position table was trained, so that it sums bias and mask once."""
    for site in backbone.sites:
        old = site.branch
        if isinstance(old, WindowAttention) and old.position_table.requires_grad:
            position, shift = (old.position_table, old.index), (old.shift, old.mask)
            site.branch = WindowAttention(
                old.norm, old.qkv, old.proj, position=position, window=old.window, shift=shift
            )


_PAPER_CLASSES = 345  # every row of the paper's table 1 has DomainNet's head, whatever the data set


@torch.no_grad()
def true_flops(model: TaskModel) -> int:
    """FLOPs of all matrix products and convolutions in the forward of one image, attention products included."""
    counter = FlopCounterMode(display=False)
    # The counter knows no fused attention of the CPU; the plain one shows it both products.
    with sdpa_kernel(SDPBackend.MATH), counter:
        _run(model)
    total: int = counter.get_total_flops()
    return total


@torch.no_grad()
def paper_flops(model: TaskModel) -> int:
    """FLOPs of linear layers and convolutions alone, biases apart: attention products are left out.

    For the bare Swin-T the paper has 8.72 GFLOPs and this function 8.70. So compare only the difference that a method
    adds, which agrees with the table within 0.01.
    """
    counter = _LayerCounter()
    with counter:
        _run(model)
    return counter.flops


class PaperCount(NamedTuple):
    """Parameters as the paper's table 1 states them.

    Attributes:
        trained: own parameters, and a head of 345 classes whatever the model's head is.
        percent: of the whole network with that head, cut off (not rounded) behind two digits.
    """

    trained: int
    percent: float


def paper_parameters(model: TaskModel, backbone: Backbone) -> PaperCount:
    """`model`, made from `backbone`, in the paper's convention; see `TaskModel.parameter_counts` for the plain one."""
    head = (backbone.feature_dim + 1) * _PAPER_CLASSES
    whole = head + sum(parameter.numel() for parameter in backbone.parameters())
    trained = model.parameter_counts()[0] + head
    return PaperCount(trained, floor(10_000 * trained / whole) / 100)


def _run(model: TaskModel) -> None:
    """One blank image through `model` as it evaluates; the mode it was in is kept."""
    training, head = model.training, model.head.weight
    model.eval()
    model(torch.zeros(1, 3, *model.backbone.preprocessing.size, device=head.device))
    model.train(training)


class _LayerCounter(TorchFunctionMode):
    """Counts calls of the linear and convolution functions, whichever module or path makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (the interface is torch's)
        result = func(*args, **kwargs or {})
        if func in (functional.linear, functional.conv2d):
            weight: Tensor = args[1]
            self.flops += 2 * result.numel() * weight[0].numel()
        return result
