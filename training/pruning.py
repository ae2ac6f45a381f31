"""One pruning of a run: worth of every weight, scores, selection, and everything cut to it."""

import torch
from torch import Tensor

from backbone import neuron_flops
from training.importance import Evidence, importance
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.prune import Kept, above_trunk, neurons_to_keep, per_cost, select, select_at_each, shrink
from training.score import scores_of
from training.sparse import prune_weights


def prune_model(evidence: Evidence, optimizer: torch.optim.Optimizer, options: MiMiOptions, *, prunings: int) -> Kept:
    """Do the `prunings`-th pruning (from 1) of a run; the neurons kept, by site, numbered as they were before it."""
    model, worth = evidence.model, importance(options.prune.criterion, evidence)
    if options.prune.granularity == "weight":
        prune_weights(model, optimizer, worth, (1 - options.pruning_fraction) ** prunings)
        return {site: torch.arange(adapter.width) for site, adapter in model.live.items()}
    kept = _selected(model, scores_of(worth, options.prune), options, prunings)
    shrink(model, optimizer, kept)
    return kept


def _selected(model: AdaptedModel, scores: dict[int, Tensor], options: MiMiOptions, prunings: int) -> Kept:
    """The neurons that stay, by the options' scope, cost and trunk."""
    sites, prune = model.backbone.sites, options.prune
    initial = options.initial_widths(tuple(site.dim for site in sites))
    if prune.scope == "site":  # every site keeps at least one neuron, as small vanilla adapters do
        left = {site: neurons_to_keep(initial[site], prunings, options.pruning_fraction) for site in scores}
        return select_at_each(scores, {site: max(1, keep) for site, keep in left.items()})
    keep = neurons_to_keep(sum(initial), prunings, options.pruning_fraction)
    if prune.cost_exponent:
        scores = per_cost(scores, {site.index: neuron_flops(site) for site in sites}, prune.cost_exponent)
    return select(above_trunk(scores, prune.trunk, keep), keep)
