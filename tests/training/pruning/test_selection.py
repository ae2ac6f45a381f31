"""Global selection, and cutting a model down without changing what the kept neurons compute."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.small import small_backbone, small_options, small_prepared
from training.fit import build_optimizer
from training.model import AdaptedModel
from training.pruning.selection import above_trunk, neurons_to_keep, per_cost, select, select_at_each, shrink


@pytest.mark.parametrize(("prunings", "kept"), [(0, 1104), (1, 552), (2, 276), (3, 138), (4, 69), (5, 34)])
def test_the_share_kept_is_of_the_initial_count_rounded_down(prunings: int, kept: int) -> None:
    assert neurons_to_keep(1104, prunings, 0.5) == kept


@given(
    st.dictionaries(st.integers(0, 9), st.lists(st.floats(0, 1), min_size=1, max_size=8), min_size=1),
    st.integers(0, 20),
)
def test_selection_keeps_the_best_over_all_sites(scores: dict[int, list[float]], keep: int) -> None:
    kept = select({site: torch.tensor(values) for site, values in scores.items()}, keep)
    inside = [scores[site][i] for site, rows in kept.items() for i in rows.tolist()]
    outside = [v for site, values in scores.items() for i, v in enumerate(values) if i not in kept[site].tolist()]
    total = sum(len(values) for values in scores.values())
    assert len(inside) >= min(keep, total)
    assert not inside or not outside or min(inside) > max(outside)
    assert keep or not inside


def trained() -> tuple[AdaptedModel, torch.optim.Optimizer, torch.Tensor]:
    """A model after two steps, with its optimiser and a batch."""
    backbone, prepared = small_backbone(), small_prepared()
    model = AdaptedModel(backbone, (4, 4, 8, 8), 3)
    optimizer = build_optimizer(model, small_options().fit)
    images = backbone.preprocessing.normalize(prepared.train.pixels[:8])
    for _ in range(2):
        torch.nn.functional.cross_entropy(model(images), prepared.train.targets[:8]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer, images


def test_a_shrunk_model_computes_what_a_masked_one_does() -> None:
    model, optimizer, images = trained()
    kept = {0: torch.tensor([1, 3]), 1: torch.tensor([], dtype=torch.long), 2: torch.tensor([0]), 3: torch.arange(8)}
    masked = copy.deepcopy(model)
    for site, adapter in masked.live.items():
        mask = torch.zeros(adapter.width)
        mask[kept[site]] = 1
        adapter.down.data *= mask[:, None]
    shrink(model, optimizer, kept)
    torch.testing.assert_close(model(images), masked(images), rtol=1e-5, atol=1e-6)
    assert model.widths == (2, 0, 1, 8)


def test_moments_are_cut_with_their_weights_and_forgotten_with_their_site() -> None:
    model, optimizer, _ = trained()
    before = optimizer.state[model.live[0].up]["exp_avg"].clone()
    gone = model.live[1]
    nothing, everything = torch.tensor([], dtype=torch.long), torch.arange(8)
    shrink(model, optimizer, {0: torch.tensor([2]), 1: nothing, 2: everything, 3: everything})
    adapter = model.live[0]
    assert torch.equal(optimizer.state[adapter.up]["exp_avg"], before[:, [2]])
    assert optimizer.state[adapter.down]["exp_avg_sq"].shape == adapter.down.shape
    managed = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert managed == {id(p) for p in model.task_parameters().values()}
    assert gone.down not in optimizer.state


def test_training_goes_on_after_a_pruning() -> None:
    model, optimizer, images = trained()
    shrink(model, optimizer, {site: torch.arange(2) for site in range(4)})
    before = model(images).detach()
    model(images).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model(images), before)


def test_local_selection_keeps_the_best_of_each_site() -> None:
    kept = select_at_each({0: torch.tensor([3.0, 9.0, 4.0]), 1: torch.tensor([0.1, 0.3])}, {0: 2, 1: 1})
    assert {site: rows.tolist() for site, rows in kept.items()} == {0: [1, 2], 1: [1]}


def test_scores_per_cost_prefer_the_cheap() -> None:
    scores = {0: torch.tensor([4.0]), 1: torch.tensor([3.0])}
    assert select(per_cost(scores, {0: 8, 1: 2}, 1.0), 1)[1].tolist() == [0]
    assert select(per_cost(scores, {0: 8, 1: 2}, 0.1), 1)[0].tolist() == [0]


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=8),
    st.integers(0, 10),
    st.integers(1, 30),
)
def test_a_trunk_is_emptied_as_far_as_the_rest_has_room(widths: list[int], trunk: int, keep: int) -> None:
    """The best possible start: no later site has room, or the trunk asks for no more."""
    scores = {site: torch.rand(width) for site, width in enumerate(widths)}
    left = above_trunk(scores, trunk, keep)
    assert all(torch.equal(values, scores[site]) or not len(values) for site, values in left.items())
    start = next(site for site, values in left.items() if len(values))
    assert all(len(left[site]) for site in range(start, len(widths)))
    room = sum(widths[start:])
    assert room >= min(keep, sum(widths))
    assert start == min(trunk, len(widths) - 1) or sum(widths[start + 1 :]) < keep
    assert sum(map(len, select(left, keep).values())) >= min(keep, sum(widths))
