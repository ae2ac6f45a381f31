"""Single weights removed: they stay removed, others do not suffer, and a model without adapters is not in the way."""

import torch

from backbone import SiteWeights
from tests.training.small import small_backbone, small_options, small_prepared
from training.fit import Fitting, build_optimizer, train_epoch
from training.model import AdaptedModel
from training.pruning.unstructured import hold_zeros, nonzero_weights, prune_weights


def magnitudes(model: AdaptedModel) -> dict[int, SiteWeights]:
    return {i: SiteWeights(a.down.detach().abs(), a.up.detach().abs()) for i, a in model.live.items()}


def test_removed_weights_stay_zero_through_momentum_decay_and_further_pruning() -> None:
    fit, prepared = small_options().fit, small_prepared()
    model = AdaptedModel(small_backbone(), (4, 0, 8, 0), 3)
    hold_zeros(model)
    fitting = Fitting(model, build_optimizer(model, fit), fit, 0)
    removed: list[torch.Tensor] = []
    for cycle, share in enumerate((0.5, 0.25)):
        train_epoch(fitting, prepared.train, cycle=cycle, epoch=0, on_step=lambda progress: None)
        assert all(not model.live[0].down.detach()[mask].any() for mask in removed)
        prune_weights(model, fitting.optimizer, magnitudes(model), share)
        assert nonzero_weights(model) == share * model.parameter_counts()[0]
        removed.append(model.live[0].down.detach() == 0)
    assert not (removed[0] & ~removed[1]).any(), "masks are nested"


def test_the_most_important_weights_stay_in_each_matrix() -> None:
    model = AdaptedModel(small_backbone(), (4, 0, 8, 0), 3)
    before = model.live[2].up.detach().clone()
    prune_weights(model, build_optimizer(model, small_options().fit), magnitudes(model), 0.25)
    kept = model.live[2].up.detach() != 0
    assert kept.sum() == before.numel() // 4
    assert before.abs()[kept].min() >= before.abs()[~kept].max()


def test_no_adapters_have_no_weights() -> None:
    assert nonzero_weights(AdaptedModel(small_backbone(), (0, 0, 0, 0), 3)) == 0
