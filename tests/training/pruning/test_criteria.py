"""The importance of a weight by each criterion, against the plain computation."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from backbone import SiteWeights
from tests.training.small import small_backbone, small_options, small_prepared
from training.model import AdaptedModel
from training.options import Criterion
from training.pruning.criteria import Evidence, Importance, add_gradients, importance_of
from training.pruning.scores import scores_of, starting_weights

WIDTHS = (3, 0, 5, 2)


@pytest.fixture
def evidence() -> Evidence:
    """A model moved a little from where it started, and images for two mini-batches."""
    model = AdaptedModel(small_backbone(), WIDTHS, 3)
    start = starting_weights(model)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.own_parameters().values():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return Evidence(model, start, small_prepared().train, small_options().fit, seed=0, images=32)


def loss_of(evidence: Evidence, pixels: torch.Tensor, targets: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    images = evidence.model.backbone.preprocessing.normalize(pixels)
    return functional.cross_entropy(evidence.model(images) / temperature, targets, label_smoothing=0.1)


@pytest.mark.parametrize(
    "criterion",
    ["weights", "movement", "down", "gradient", "gradient_signed", "activation", "snip", "grasp", "random"],
)
def test_every_criterion_gives_one_finite_number_per_weight(criterion: Criterion, evidence: Evidence) -> None:
    importance = importance_of(criterion, evidence)
    assert {site: tuple(w.down.shape) for site, w in importance.items()} == {0: (3, 16), 2: (5, 32), 3: (2, 32)}
    assert all(w.up.T.shape == w.down.shape for w in importance.values())
    assert all(torch.isfinite(t).all() and not t.requires_grad for w in importance.values() for t in w)
    assert any(w.down.unique().numel() > 1 for w in importance.values())


def test_movement_forgets_the_draw(evidence: Evidence) -> None:
    moved = importance_of("movement", evidence)[2]
    expected = (evidence.model.live[2].down - evidence.initial[2].down).abs()
    torch.testing.assert_close(moved.down, expected.detach())


def test_nothing_has_moved_at_the_start() -> None:
    model = AdaptedModel(small_backbone(), WIDTHS, 3)
    evidence = Evidence(model, starting_weights(model), small_prepared().train, small_options().fit, seed=0)
    assert all(not tensor.any() for importance in importance_of("movement", evidence).values() for tensor in importance)


def test_gradients_are_meant_over_mini_batches_before_or_after_their_sign_is_lost(evidence: Evidence) -> None:
    each = []
    for pixels, targets in evidence.batches(everything=True):
        evidence.model.zero_grad()
        loss_of(evidence, pixels, targets).backward()
        each.append(evidence.model.live[0].up.grad)
    stacked = torch.stack([gradient for gradient in each if gradient is not None])
    assert len(stacked) == 3
    torch.testing.assert_close(importance_of("gradient", evidence)[0].up, stacked.abs().mean(0))
    torch.testing.assert_close(importance_of("gradient_signed", evidence)[0].up, stacked.mean(0).abs())


def test_gradients_are_those_of_the_cycle_where_there_are_some(evidence: Evidence) -> None:
    every, signed = Importance(), Importance()
    steps = []
    for number, (pixels, targets) in enumerate(evidence.batches(everything=True)):
        evidence.model.zero_grad()
        loss_of(evidence, pixels, targets).backward()
        steps.append(evidence.model.live[0].up.grad)
        add_gradients(every, evidence.model, "gradient", last=number == 2)
        add_gradients(signed, evidence.model, "gradient_signed", last=number > 0)
        add_gradients(signed, evidence.model, "weights", last=True)
    stacked = torch.stack([gradient.clone() for gradient in steps if gradient is not None])
    found = importance_of("gradient", replace(evidence, gradients=every))
    torch.testing.assert_close(found[0].up, stacked.abs().sum(0))
    found = importance_of("gradient_signed", replace(evidence, gradients=signed))
    torch.testing.assert_close(found[0].up, stacked[1:].sum(0).abs())


def test_the_mean_gradient_looks_at_every_training_image(evidence: Evidence) -> None:
    few = replace(evidence, images=8)
    for criterion in ("gradient", "gradient_signed"):
        some, every = importance_of(criterion, few), importance_of(criterion, evidence)
        assert torch.equal(some[0].down, every[0].down)
    assert sum(len(targets) for _, targets in few.batches()) == 8


def test_snip_is_the_gradient_of_a_mask_of_ones(evidence: Evidence) -> None:
    model, (pixels, targets) = evidence.model, next(evidence.batches())
    mask = torch.ones_like(model.live[0].down, requires_grad=True)
    original = model.live[0].down
    images = model.backbone.preprocessing.normalize(pixels)

    def adapt(site: int, h: torch.Tensor) -> torch.Tensor:
        if site:
            return model.adapt(site, h)
        return h + functional.gelu(h @ (original * mask).T) @ model.live[0].up.T

    logits = model.head(model.backbone(images, adapt))
    (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, targets, label_smoothing=0.1), mask)
    torch.testing.assert_close(importance_of("snip", evidence)[0].down, gradient.abs(), rtol=1e-4, atol=1e-9)


def test_grasp_is_the_weight_times_the_change_of_the_gradient_along_itself(evidence: Evidence) -> None:
    """H·g against a central difference of the gradient, in double precision."""
    importance = importance_of("grasp", evidence)[3].up
    model, (pixels, targets) = evidence.model.double(), next(evidence.batches())
    parameters = list(model.own_parameters().values())
    images = model.backbone.preprocessing.normalize(pixels).double()

    def gradients() -> list[torch.Tensor]:
        loss = functional.cross_entropy(model(images) / 200, targets, label_smoothing=0.1)
        return list(torch.autograd.grad(loss, parameters))

    along, ends = gradients(), []
    for step in (1.0, -2.0):
        for parameter, direction in zip(parameters, along, strict=True):
            parameter.data += step * direction
        ends.append(gradients()[-1])
    for parameter, direction in zip(parameters, along, strict=True):
        parameter.data += direction
    expected = (ends[0] - ends[1]) / 2 * model.live[3].up
    torch.testing.assert_close(importance.double(), expected.detach(), rtol=1e-3, atol=1e-12)


def test_an_activation_score_is_the_mean_over_images_and_tokens(evidence: Evidence) -> None:
    seen: list[torch.Tensor] = []
    model = evidence.model

    def adapt(site: int, h: torch.Tensor) -> torch.Tensor:
        if site == 2:
            seen.append(functional.gelu(h @ model.live[2].down.T).abs().flatten(0, -2))
        return model.adapt(site, h)

    for pixels, _ in evidence.batches():
        model.backbone(model.backbone.preprocessing.normalize(pixels), adapt)
    raw = scores_of(importance_of("activation", evidence), small_options().pruning)[2] * 2 * 32
    torch.testing.assert_close(raw, torch.cat(seen).mean(0).detach(), rtol=1e-4, atol=1e-7)


def test_random_importance_is_repeatable_and_changes_with_the_seed(evidence: Evidence) -> None:
    other = Evidence(evidence.model, evidence.initial, evidence.train, evidence.fit, seed=1)
    first, same, another = (importance_of("random", e)[0].down for e in (evidence, evidence, other))
    assert torch.equal(first, same)
    assert not torch.equal(first, another)


def test_one_batch_is_enough(evidence: Evidence) -> None:
    few = Evidence(evidence.model, evidence.initial, evidence.train, evidence.fit, seed=0, images=4)
    assert isinstance(importance_of("gradient", few)[0], SiteWeights)
