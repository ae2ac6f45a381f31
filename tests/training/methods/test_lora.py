"""One budget of ranks for the whole network, and where it falls."""

import pytest
import torch
from torch.nn import functional

from tests.training.methods.networks import images, small
from tests.training.small import small_options, small_set
from training.fit import Fitting, build_optimizer, train_epoch
from training.methods.lora import AdaLora, Triplets, adalora
from training.methods.parts import Beside, fork

LAYERS = 18  # of the small Swin: three attentions of queries, keys, values and projection, and three MLPs of two


def model_of(rank: int = 2) -> AdaLora:
    return AdaLora(fork(small("swin")), 3, torch.Generator().manual_seed(0), rank=rank)


def live(model: AdaLora) -> int:
    return sum(int(path.values.count_nonzero()) for path in model.paths)


def train(model: AdaLora, steps: int, *, start: int = 0, stop: int | None = None) -> list[int]:
    """Live triplets after every step of a cycle."""
    optimizer = torch.optim.SGD(model.task_parameters().values(), lr=0.1)  # without moments of its own
    counts = []
    for step in range(start, stop or steps):
        optimizer.zero_grad()
        (functional.cross_entropy(model(images(3)), torch.tensor([0, 1, 2])) + model.penalty()).backward()
        optimizer.step()
        model.after_step(step, steps)
        counts.append(live(model))
    return counts


def test_the_budget_falls_to_its_target_and_stays_there_in_later_cycles() -> None:
    model = model_of()
    counts = train(model, 20)
    assert counts[:2] == [3 * LAYERS] * 2  # warm-up
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == counts[9] == 2 * LAYERS
    assert train(model, 20) == [2 * LAYERS] * 20


def test_a_silent_triplet_may_come_back_until_the_next_choice() -> None:
    counts = train(model_of(), 100, stop=40)  # the budget falls from step 10 to step 50
    assert counts[19] < counts[20] == 3 * LAYERS
    assert counts[29] < counts[19]


def test_queries_keys_and_values_have_directions_of_their_own() -> None:
    model = model_of()
    qkv = model.backbone.sites[0].branch.qkv
    assert isinstance(qkv, Beside)
    x = torch.randn(2, 5, qkv.in_features, generator=torch.Generator().manual_seed(0))
    for third, path in enumerate(qkv.paths):
        assert isinstance(path, Triplets)
        path.values.data.fill_(1.0)
        changed = (qkv(x) != qkv.base(x)).any(0).any(0).view(3, -1).any(1)
        assert changed.tolist() == [place == third for place in range(3)]
        path.values.data.fill_(0.0)


def test_a_training_taken_up_again_drops_the_same_triplets() -> None:
    straight, first, second = model_of(), model_of(), model_of(rank=2)
    train(straight, 20)
    train(first, 20, stop=7)
    second.load_state_dict(first.state_dict())
    train(second, 20, start=7)
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in straight.state_dict().items())


def test_the_training_loop_lowers_the_budget() -> None:
    model, fit = model_of(), small_options().fit
    fitting = Fitting(model, build_optimizer(model, fit), fit, 0)
    for epoch in range(fit.epochs):
        train_epoch(fitting, small_set(48, 0), cycle=0, epoch=epoch, on_step=lambda _: None)
    assert live(model) == model.budget == model.target == 2 * LAYERS


def test_a_cycle_of_one_step_reaches_the_target_at_once() -> None:
    assert train(model_of(), 1) == [2 * LAYERS]


@pytest.mark.parametrize(("step", "budget"), [(0, 54), (10, 54), (30, 38), (50, 36), (100, 36)])
def test_the_schedule_is_cubic(step: int, budget: int) -> None:
    assert model_of().scheduled(step, 100) == budget  # 36 + 18 · (1/2)³ = 38.25 half-way


def test_the_triplets_that_matter_least_fall_silent() -> None:
    model = model_of()
    for number, path in enumerate(model.paths):
        path.values.data.fill_(1.0)
        for parameter in path.parameters():
            parameter.grad = torch.zeros_like(parameter)
        if number < LAYERS // 2:  # gradients in the first half alone
            path.values.grad = torch.ones(3)
            path.q.grad = torch.ones_like(path.q)
    model.after_step(49, 100)
    assert [int(path.values.count_nonzero()) for path in model.paths[: LAYERS // 2]] == [3] * (LAYERS // 2)
    assert live(model) == 2 * LAYERS


def test_sensitivity_and_uncertainty_are_smoothed() -> None:
    triplets = Triplets((4, 5), 2, torch.Generator().manual_seed(0))
    triplets.values.data.fill_(2.0)
    triplets.values.grad = torch.tensor([1.0, 3.0])
    triplets.observe()
    mean, spread = triplets.get_buffer("values_sensitivity"), triplets.get_buffer("values_uncertainty")
    assert mean.tolist() == pytest.approx([0.15 * 2, 0.15 * 6])
    assert spread.tolist() == pytest.approx([0.15 * 0.85 * 2, 0.15 * 0.85 * 6])
    assert triplets.importance().tolist() == pytest.approx((mean * spread).tolist())  # P and Q had no gradient


def test_orthonormal_directions_have_no_penalty() -> None:
    model = model_of()
    assert model.penalty().item() > 0.1
    for path in model.paths:
        torch.nn.init.orthogonal_(path.p, generator=torch.Generator().manual_seed(0))
        torch.nn.init.orthogonal_(path.q, generator=torch.Generator().manual_seed(0))
    assert model.penalty().item() == pytest.approx(0.0, abs=1e-5)


def test_the_registered_method_ends_at_two_triplets_a_layer() -> None:
    model = adalora(small("swin"), 3, 0)
    assert isinstance(model, AdaLora)
    assert model.target == 2 * LAYERS
