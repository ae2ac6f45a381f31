"""The temperature: from validation images, and from training images by cross-fitting."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adapters_store import Head
from adapters_store.answers import SIGMOID, SOFTMAX
from training.metrics import Flags, Floats
from training.temperature import (
    cross_fitted_temperature,
    fitted_temperature,
    probabilities_of,
    weighed_temperature,
)


@pytest.mark.parametrize("activation", [SOFTMAX, SIGMOID])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(activation: str, temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(scale=3, size=(20_000, 4))
    chances = probabilities_of(logits, activation, temperature)
    if activation == SIGMOID:
        truth = random.random(chances.shape) < chances
    else:
        drawn = (random.random((len(logits), 1)) > chances.cumsum(1)).sum(1)
        truth = np.eye(4, dtype=np.bool_)[drawn.clip(max=3)]
    assert fitted_temperature(logits, truth, activation) == pytest.approx(temperature, rel=0.05)


def drawn(count: int, temperature: float, seed: int = 0) -> tuple[Floats, Flags]:
    """Logits (n, 4), and labels that they are right about at this temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=3, size=(count, 4))
    chances = probabilities_of(logits, SOFTMAX, temperature)
    labels = (random.random((count, 1)) > chances.cumsum(1)).sum(1).clip(max=3)
    return logits, np.eye(4, dtype=np.bool_)[labels]


def test_many_validation_images_outweigh_the_prior() -> None:
    logits, truth = drawn(20_000, 2.0)
    assert weighed_temperature(logits, truth, 1.0) == pytest.approx(2.0, rel=0.05)


def test_a_prior_makes_the_temperature_of_few_images_better() -> None:
    errors: list[tuple[float, float]] = []
    for seed in range(100):
        logits, truth = drawn(60, 1.5, seed)
        found = fitted_temperature(logits, truth, SOFTMAX), weighed_temperature(logits, truth, 1.6)
        errors.append((np.log(found[0] / 1.5) ** 2, np.log(found[1] / 1.5) ** 2))
    alone, weighed = np.mean(errors, 0)
    assert weighed < 0.7 * alone


def test_where_every_validation_image_is_right_the_prior_counts() -> None:
    logits, truth = drawn(30, 1.0)
    right = np.eye(4, dtype=np.bool_)[logits.argmax(1)]
    assert weighed_temperature(logits, right, 0.8) == 0.8
    assert weighed_temperature(logits, truth, None) == fitted_temperature(logits, truth, SOFTMAX)


def test_a_head_that_says_nothing_keeps_the_prior() -> None:
    _, truth = drawn(30, 1.0)
    silent = np.zeros((30, 4))
    prior = fitted_temperature(silent, truth, SOFTMAX)
    assert weighed_temperature(silent, truth, prior) == prior


def images(count: int, seed: int = 0) -> tuple[NDArray[np.float64], Flags]:
    """Features (n, 40) of three classes that overlap."""
    targets, noise = np.arange(count) % 3, np.random.default_rng(seed).normal(size=(count, 40))
    return np.eye(3, 40)[targets] * 1.5 + noise, np.eye(3, dtype=np.bool_)[targets]


def learnt(features: Floats, truth: Flags) -> Head:
    """A head that is fitted to these images, with little weight decay."""
    head = torch.nn.Linear(40, 3, dtype=torch.float64)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    steps = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    x, y = torch.from_numpy(features), torch.from_numpy(truth.argmax(1))

    def closure() -> torch.Tensor:
        steps.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(x), y) + 0.005 * (head.weight**2).sum()
        loss.backward()
        return loss

    steps.step(closure)
    return Head(head.weight.detach().numpy(), head.bias.detach().numpy())


def test_cross_fitting_finds_how_sure_a_head_is_of_images_that_it_has_not_learnt() -> None:
    (features, truth), (fresh, labels) = images(300), images(6000, seed=1)
    head = learnt(features, truth)
    seen, true = (
        fitted_temperature(x @ head.weight.T + head.bias, y, SOFTMAX) for x, y in ((features, truth), (fresh, labels))
    )
    found = cross_fitted_temperature(features, truth, head)
    assert found is not None
    assert abs(np.log(found / true)) < 0.5 * abs(np.log(seen / true))


def test_copies_of_an_image_do_not_deceive_it_if_they_are_one_group() -> None:
    features, truth = images(150)
    head = learnt(features, truth)
    once = cross_fitted_temperature(features, truth, head)
    copies, labels = np.concatenate([features] * 4), np.concatenate([truth] * 4)
    deceived = cross_fitted_temperature(copies, labels, head)
    grouped = cross_fitted_temperature(copies, labels, head, np.tile(np.arange(150), 4))
    assert deceived is not None
    assert once is not None
    assert grouped == pytest.approx(once, rel=0.02)
    assert deceived < 0.9 * once


def test_it_says_nothing_of_too_few_images_or_of_a_head_without_mistakes() -> None:
    features, truth = images(60)
    head = learnt(features, truth)
    assert cross_fitted_temperature(features[:4], truth[:4], head) is None
    assert cross_fitted_temperature(features, truth, head, np.arange(60) % 3) is None
    easy = features + 100 * np.eye(3, 40)[truth.argmax(1)]
    assert cross_fitted_temperature(easy, truth, learnt(easy, truth)) is None
