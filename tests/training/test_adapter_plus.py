"""The recipe of Adapter+: what it changes while it trains, and that nothing of it is left in the file."""

from pathlib import Path

import pytest
import torch

from adapters_store import unpack
from tests.training.small import small_backbone, small_options, small_prepared, small_set
from tests.training.stopping import Stopping
from training.adapter import Adapter
from training.errors import BadConfig
from training.export import from_file
from training.fit import logits_of
from training.methods import METHODS
from training.mimi import Job, Outcome, train_mimi
from training.model import AdaptedModel
from training.options import ADAPTER_PLUS, AdapterRecipe, Criterion, MiMiOptions, PruningOptions
from training.variants import variants


def scaled_model() -> AdaptedModel:
    """Adapters whose scales are far from one."""
    model = AdaptedModel(small_backbone(), (3, 0, 5, 2), 3, recipe=ADAPTER_PLUS)
    draws = torch.Generator().manual_seed(1)
    for adapter in model.live.values():
        assert adapter.scale is not None
        adapter.scale.data = 1 + torch.rand(adapter.scale.shape, generator=draws)
        adapter.up.data *= 20
    return model


def test_the_scale_folds_into_the_up_projection() -> None:
    model, images = scaled_model(), small_set(12, 3).pixels
    plain = model.folded()
    assert all(adapter.scale is None for adapter in plain.live.values())
    expected, found = logits_of(model.eval(), images), logits_of(plain.eval(), images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for adapter in model.live.values():
        adapter.scale.data.fill_(1.0)  # type: ignore[union-attr]
    assert not torch.allclose(logits_of(model, images), expected)


def plus_run(folder: Path, **changes: object) -> Outcome:
    options = small_options(**{"init": "houlsby", "scaled": True, "adapter_drop": 0.1, **changes})
    return train_mimi(Job(small_prepared(), small_backbone(), options, folder))


def test_a_trained_run_writes_plain_adapters_with_its_own_answers(tmp_path: Path) -> None:
    outcome = plus_run(tmp_path)
    adapter = unpack(outcome.adapter)
    weights = [array.size for site in adapter.sites.values() for array in site]
    assert adapter.manifest.provenance.adapter_parameters == sum(weights)
    assert from_file(outcome.adapter, small_backbone()).own_parameters().keys() == {
        f"sites.{site}.{name}" for site in adapter.sites for name in ("down", "up")
    }


def test_a_stopped_run_continues_to_the_same_bytes(tmp_path: Path) -> None:
    whole = plus_run(tmp_path / "whole")
    options = small_options(init="houlsby", scaled=True, adapter_drop=0.1)
    job = Job(small_prepared(), small_backbone(), options, tmp_path / "parts", Stopping(after=3))
    with pytest.raises(KeyboardInterrupt):
        train_mimi(job)
    assert plus_run(tmp_path / "parts").adapter == whole.adapter


@pytest.mark.parametrize("criterion", ["movement", "gradient", "snip", "grasp", "activation"])
def test_every_criterion_ranks_scaled_adapters(criterion: Criterion, tmp_path: Path) -> None:
    outcome = plus_run(tmp_path, pruning=PruningOptions(criterion=criterion))
    assert [result.neurons for result in outcome.results] == [24, 12, 6]


def test_depth_acts_only_while_training_and_keeps_the_mean() -> None:
    adapter = Adapter(4, 8, generator=torch.Generator().manual_seed(0), recipe=AdapterRecipe(adapter_drop=0.5))
    h = torch.randn(1, 3, 8).expand(4000, 3, 8)
    adapter.eval()
    still = adapter(h)
    assert torch.equal(still[0], still[-1])
    adapter.train()
    adapter.noise = torch.Generator().manual_seed(0)
    moved = adapter(h) - h
    dropped = (moved == 0).flatten(1).all(1)
    assert 0.4 < dropped.float().mean() < 0.6
    torch.testing.assert_close(moved.mean(0), (still - h)[0], rtol=0.1, atol=1e-6)


def test_the_initialisation_is_cut_at_two_deviations() -> None:
    adapter = Adapter(64, 64, generator=torch.Generator().manual_seed(0), recipe=ADAPTER_PLUS)
    assert 0.0085 < adapter.down.std() < 0.01
    assert adapter.down.abs().max() <= 0.02


def test_single_weights_are_not_removed_from_scaled_adapters() -> None:
    with pytest.raises(BadConfig, match="scaled"):
        MiMiOptions(scaled=True, pruning=PruningOptions(scope="site", granularity="weight"))


def test_both_commands_know_the_recipe() -> None:
    assert variants(4)["mimi-plus"](MiMiOptions()).recipe == ADAPTER_PLUS
    model = METHODS["adapters-plus"].build(small_backbone(), 3, 0)
    assert isinstance(model, AdaptedModel)
    assert model.widths == (8, 8, 8, 8)
    assert all(adapter.scale is not None and adapter.drop == 0.1 for adapter in model.live.values())
