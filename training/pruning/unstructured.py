"""Removing single weights instead of neurons (SparseAdapter, He et al. 2022; SNIP; GraSP), with masks that hold.

A removed weight stays zero: its moments are cleared and its gradient is zero from then on, so AdamW does not change it.
No mask is stored; the zeros are the mask. This saves parameters but no time.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from backbone import SiteWeights
from training.model import AdaptedModel


def hold_zeros(model: AdaptedModel) -> None:
    """From now on weights that are zero get no gradient."""
    for parameter in model.own_parameters().values():
        parameter.register_hook(_where_not_zero(parameter))


def prune_weights(
    model: AdaptedModel, optimizer: torch.optim.Optimizer, importance: Mapping[int, SiteWeights], share: float
) -> None:
    """Keep the most important weights of each matrix that are not yet removed: `share` of all its weights."""
    for site, adapter in model.live.items():
        for parameter, values in zip(adapter.weights, importance[site], strict=True):
            keep = round(share * parameter.numel())
            alive = values.masked_fill(parameter.detach() == 0, -torch.inf).flatten()
            mask = torch.zeros_like(alive).index_fill_(0, alive.topk(keep).indices, 1.0).view_as(parameter)
            _clear(parameter, optimizer, mask)


def nonzero_weights(model: AdaptedModel) -> int:
    """Adapter weights that are not zero: those left after single weights were removed."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in model.own_parameters().values())


def _clear(parameter: Tensor, optimizer: torch.optim.Optimizer, mask: Tensor) -> None:
    """Zero a parameter and its moments where the mask is."""
    parameter.data *= mask
    for value in optimizer.state.get(parameter, {}).values():
        if isinstance(value, Tensor) and value.shape == mask.shape:
            value.mul_(mask)


def _where_not_zero(parameter: nn.Parameter) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient * (parameter.detach() != 0)
