"""The weights a run started from: what movement is measured against, and what a ranking should have left behind."""

import torch
from torch import Tensor

from backbone import SiteWeights
from training.importance import Evidence, importance
from training.model import AdaptedModel
from training.options import PruneOptions
from training.score import rank_correlation, scores_of

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


def correlation_with_start(evidence: Evidence, options: PruneOptions) -> float:
    """Spearman's, of the scores now and the same neurons' |w| scores at initialisation; 0 where no site is live.

    Criteria that look at data are costly to ask: for them it is the correlation of the weights'.
    """
    if not evidence.model.live:
        return 0.0
    criterion = options.criterion if options.criterion in FROM_WEIGHTS else "weights"
    now = scores_of(importance(criterion, evidence), options)
    before = scores_of({i: SiteWeights(w.down.abs(), w.up.abs()) for i, w in evidence.initial.items()}, options)
    return rank_correlation(torch.cat([before[site] for site in now]), torch.cat(list(now.values())))
