"""Equation 3, its printed and its coded form, and the rank correlation that tells noise from learning."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from backbone import SiteWeights
from training.pruning.scores import neuron_scores, rank_correlation


def weights(width: int = 3, dim: int = 5) -> SiteWeights:
    generator = torch.Generator().manual_seed(1)
    down, up = torch.randn(width, dim, generator=generator), torch.randn(dim, width, generator=generator)
    return SiteWeights(down.abs(), up.abs())


@pytest.mark.parametrize(("normalise", "divisor"), [("mean", 10), ("n_plus_m", 8), ("sum", 1)])
def test_a_score_is_the_sum_of_a_row_and_a_column_over_its_divisor(normalise: str, divisor: int) -> None:
    down, up = weights()
    expected = [(down[j].sum() + up[:, j].sum()) / divisor for j in range(3)]
    scores = neuron_scores(SiteWeights(down, up), normalise=normalise)  # type: ignore[arg-type]
    torch.testing.assert_close(scores, torch.stack(expected))


def test_the_mean_score_is_the_mean_of_all_the_neurons_weights() -> None:
    down, up = weights()
    everything = torch.cat([down, up.T], 1)  # (N, 2M), as the released code lays it out
    torch.testing.assert_close(neuron_scores(SiteWeights(down, up)), everything.mean(1))


def test_relative_scores_have_a_largest_of_one() -> None:
    assert neuron_scores(weights(), relative=True).max() == 1


def test_rank_correlation_is_spearmans_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 40), rng.integers(0, 9, 40)
    expected = spearmanr(x, y).statistic
    assert rank_correlation(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected)


def test_a_constant_has_no_rank_correlation() -> None:
    assert rank_correlation(torch.ones(4), torch.arange(4.0)) == 0.0
