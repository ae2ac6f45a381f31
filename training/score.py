"""How much a neuron matters: the mean |w| of its row of W_down and its column of W_up (MiMi, equation 3).

The printed sum over W_up runs to N_i, but a column has M_i entries; the paper's words and its code divide by the
2 M_i weights of the neuron. `normalise` offers the printed form and I_0 beside it. Other criteria put another worth
in the place of |w| (training.importance).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from backbone import SiteWeights
from training.options import Normalise, PruneOptions


def neuron_scores(worth: SiteWeights, *, normalise: Normalise = "mean", relative: bool = False) -> Tensor:
    """Scores (N,) of the neurons at one site, in float32, from the worth of each of their weights."""
    down, up = worth.down.detach().float(), worth.up.detach().float()
    width, dim = down.shape
    scores = (down.sum(1) + up.sum(0)) / {"mean": 2 * dim, "n_plus_m": width + dim, "sum": 1}[normalise]
    return scores / scores.max() if relative else scores


def scores_of(worth: Mapping[int, SiteWeights], options: PruneOptions) -> dict[int, Tensor]:
    """Scores (N,) by site, on the CPU."""
    return {
        site: neuron_scores(weights, normalise=options.normalise, relative=options.relative).cpu()
        for site, weights in worth.items()
    }


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two vectors (n,); ties get their mean rank; 0 where one is constant."""
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
