"""Selects the neurons that stay, and removes the others from weights, optimiser state and sites.

Selection is global: one threshold over the neurons of all sites (MiMi, section 3.3). It counts neurons, not
parameters, so the size after pruning depends on where the survivors sit. Two variants of ours consider a neuron's cost
at serving: scores per FLOP, and a bare trunk that begins at the input and that all tasks share.
"""

from collections.abc import Mapping, Sequence
from math import floor

import torch
from torch import Tensor, nn

from backbone import neuron_flops
from training.adapter import Adapter
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.pruning.criteria import Evidence, importance_of
from training.pruning.scores import scores_of
from training.pruning.unstructured import prune_weights

Kept = dict[int, Tensor]


def neurons_to_keep(initial: int, prunings: int, fraction: float) -> int:
    """Neurons left after `prunings` prunings of `initial`: the share (1 - ρ)^p of the initial count, rounded down."""
    return floor(initial * (1 - fraction) ** prunings + 1e-9)


def select(scores: Mapping[int, Tensor], keep: int) -> Kept:
    """Indices (sorted) of the neurons to keep at each site: the `keep` best over all; ties at the threshold stay."""
    if keep <= 0:
        return {site: torch.empty(0, dtype=torch.long) for site in scores}
    everything = torch.cat(list(scores.values()))
    threshold = everything.topk(min(keep, len(everything))).values[-1]
    return {site: torch.nonzero(values >= threshold).flatten() for site, values in scores.items()}


def select_at_each(scores: Mapping[int, Tensor], keep: Mapping[int, int]) -> Kept:
    """The `keep[site]` best of each site: the local selections of Table 2."""
    return {site: select({site: values}, keep[site])[site] for site, values in scores.items()}


def per_cost(scores: Mapping[int, Tensor], cost: Mapping[int, float], exponent: float) -> dict[int, Tensor]:
    """Scores divided by what a neuron of their site costs, to the power of `exponent`."""
    return {site: values / cost[site] ** exponent for site, values in scores.items()}


def above_trunk(scores: Mapping[int, Tensor], trunk: int, keep: int) -> dict[int, Tensor]:
    """The scores of sites from `trunk` on, or from as late a site as has room for `keep` neurons.

    Earlier sites then lose all their neurons: a bare trunk is computed once for all tasks.
    """
    room, start = 0, 0
    for site in sorted(scores, reverse=True):
        room += len(scores[site])
        if room >= keep:
            start = site
            break
    return {site: values if site >= min(trunk, start) else values[:0] for site, values in scores.items()}


def shrink(model: AdaptedModel, optimizer: torch.optim.Optimizer, kept: Mapping[int, Tensor]) -> None:
    """Cut `model` down to the kept neurons, with the optimiser's moments; sites left with none are removed."""
    for site, adapter in model.live.items():
        neurons = kept[site].to(adapter.down.device)
        if len(neurons):
            _slice(adapter, optimizer, neurons)
        else:
            del model.adapters[str(site)]
            _forget(optimizer, tuple(adapter.parameters()))


def _slice(adapter: Adapter, optimizer: torch.optim.Optimizer, neurons: Tensor) -> None:
    """Keep rows of W_down and columns of W_up, and the same of every moment that has the weight's shape."""
    for parameter, axis in ((adapter.down, 0), (adapter.up, 1)):
        shape = parameter.shape
        state = optimizer.state.get(parameter, {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == shape:
                state[key] = value.index_select(axis, neurons)
        parameter.data = parameter.data.index_select(axis, neurons)
        parameter.grad = None


def _forget(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    """Drop parameters from the optimiser, with their state."""
    gone = {id(parameter) for parameter in parameters}
    for parameter in parameters:
        optimizer.state.pop(parameter, None)
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in gone]


def prune_model(evidence: Evidence, optimizer: torch.optim.Optimizer, options: MiMiOptions, *, prunings: int) -> Kept:
    """Do the `prunings`-th pruning (from 1) of a run; the neurons kept, by site, numbered as they were before it."""
    model, importance = evidence.model, importance_of(options.pruning.criterion, evidence)
    if options.pruning.granularity == "weight":
        prune_weights(model, optimizer, importance, (1 - options.pruning_fraction) ** prunings)
        return {site: torch.arange(adapter.width) for site, adapter in model.live.items()}
    kept = _selected(model, scores_of(importance, options.pruning), options, prunings)
    shrink(model, optimizer, kept)
    return kept


def _selected(model: AdaptedModel, scores: dict[int, Tensor], options: MiMiOptions, prunings: int) -> Kept:
    """The neurons that stay, by the options' scope, cost and trunk."""
    sites, pruning = model.backbone.sites, options.pruning
    initial = options.initial_widths(tuple(site.dim for site in sites))
    if pruning.scope == "site":  # every site keeps at least one neuron, as small vanilla adapters do
        left = {site: neurons_to_keep(initial[site], prunings, options.pruning_fraction) for site in scores}
        return select_at_each(scores, {site: max(1, keep) for site, keep in left.items()})
    keep = neurons_to_keep(sum(initial), prunings, options.pruning_fraction)
    if pruning.cost_exponent:
        scores = per_cost(scores, {site.index: neuron_flops(site) for site in sites}, pruning.cost_exponent)
    return select(above_trunk(scores, pruning.trunk, keep), keep)
