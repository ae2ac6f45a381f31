"""Scores of neurons: the mean |w| of a neuron's row of W_down and its column of W_up (MiMi, equation 3).

The printed sum over W_up runs to N_i, but a column has M_i entries. The paper's words and its code divide by the 2 M_i
weights of the neuron. `normalise` offers the printed form and I_0 beside it. Other criteria put another importance in
the place of |w|, see `training.pruning.criteria`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from backbone import SiteWeights
from training.model import AdaptedModel
from training.options import Normalise, PruningOptions
from training.pruning.criteria import Evidence, importance_of


def neuron_scores(importance: SiteWeights, *, normalise: Normalise = "mean", relative: bool = False) -> Tensor:
    """Scores (N,) of the neurons at one site, in float32, from the importance of each of their weights."""
    down, up = importance.down.detach().float(), importance.up.detach().float()
    width, dim = down.shape
    scores = (down.sum(1) + up.sum(0)) / {"mean": 2 * dim, "n_plus_m": width + dim, "sum": 1}[normalise]
    return scores / scores.max() if relative else scores


def scores_of(importance: Mapping[int, SiteWeights], options: PruningOptions) -> dict[int, Tensor]:
    """Scores (N,) by site, on the CPU."""
    return {
        site: neuron_scores(weights, normalise=options.normalise, relative=options.relative).cpu()
        for site, weights in importance.items()
    }


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two vectors (n,); ties get their mean rank; 0 if one is constant."""
    x, y = _ranks(first), _ranks(second)
    x, y = x - x.mean(), y - y.mean()
    scale = (x.norm() * y.norm()).item()
    return float((x @ y).item() / scale) if scale else 0.0


def _ranks(values: Tensor) -> Tensor:
    """Mean rank of each value, in float64."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks: Tensor = (ends - (counts.double() - 1) / 2)[inverse]
    return ranks


FROM_WEIGHTS = ("weights", "movement", "down")  # criteria that need no data


def starting_weights(model: AdaptedModel) -> dict[int, SiteWeights]:
    """The adapters' weights as they are now, on the CPU."""
    return {
        site: SiteWeights(*(weight.detach().cpu().clone() for weight in adapter.weights))
        for site, adapter in model.live.items()
    }


def rows_of(weights: SiteWeights, neurons: Tensor) -> SiteWeights:
    """The weights of some neurons."""
    return SiteWeights(weights.down[neurons], weights.up[:, neurons])


def correlation_with_start(evidence: Evidence, options: PruningOptions) -> float:
    """Spearman's, of the scores now and the same neurons' |w| scores at initialisation; 0 if no site is live.

    Criteria that look at data are costly to ask: for them it is the correlation of the weights'.
    """
    if not evidence.model.live:
        return 0.0
    criterion = options.criterion if options.criterion in FROM_WEIGHTS else "weights"
    now = scores_of(importance_of(criterion, evidence), options)
    before = scores_of({i: SiteWeights(w.down.abs(), w.up.abs()) for i, w in evidence.initial.items()}, options)
    return rank_correlation(torch.cat([before[site] for site in now]), torch.cat(list(now.values())))
