"""The temperature of a task: fitted on validation images, and on training images whose head has not seen them.

Few validation images give a poor temperature: 143 digits leave a standard error of 15 %. There are far more training
images, but the head has learnt them, so it is too sure of them. Cross-fitting says by how much. The head is fitted
again on four fifths of the training images, and asked about the last fifth. The two temperatures are then weighed: the
less certain validation is, and the nearer both are, the more cross-fitting counts.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from adapters_store import Head
from adapters_store.answers import SIGMOID, SOFTMAX
from training.metrics import Flags, Floats

MOST_FITTED = 10_000  # training images beyond which validation alone is certain enough
FOLDS = 5
_COLDEST, _HOTTEST = 0.1, 10.0
_STEPS = 60  # of L-BFGS, from a head that is fitted already
_LEAST_DECAY = 1e-5
DIGITS = 4  # of a figure in the manifest


def probabilities_of(logits: Floats, activation: str, temperature: float) -> Floats:
    """Probabilities (n, K), in float64."""
    scaled = logits.astype(np.float64) / temperature
    if activation == SIGMOID:
        return np.exp(-np.logaddexp(0, -scaled))
    exponents = np.exp(scaled - scaled.max(1, keepdims=True))
    found: Floats = exponents / exponents.sum(1, keepdims=True)
    return found


def fitted_temperature(logits: Floats, truth: Flags, activation: str) -> float:
    """The temperature with the least cross-entropy: ternary search, for it has one minimum (Guo et al. 2017)."""
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    while high - low > 1e-4:  # noqa: PLR2004 - far below what any figure shows
        third = (high - low) / 3
        near, far = (_cross_entropy(logits, truth, activation, float(np.exp(low + step * third))) for step in (1, 2))
        low, high = (low, high - third) if near < far else (low + third, high)
    return round(float(np.exp((low + high) / 2)), DIGITS)


def weighed_temperature(logits: Floats, truth: Flags, prior: float | None) -> float:
    """The temperature of exclusive classes from validation images and a `prior`, which cross-fitting gives.

    The shrinkage is that of James and Stein, in logarithms. Validation counts by how far the two differ beyond its
    standard error. Where every validation image is right, it only says that the temperature is low: the prior counts.
    """
    own = fitted_temperature(logits, truth, SOFTMAX)
    if prior is None:
        return own
    if _all_right(logits, truth):
        return round(prior, DIGITS)
    apart, error = float(np.log(own / prior)), _squared_error(logits, truth, own)
    beyond = max(0.0, apart**2 - error)
    weight = beyond / (beyond + error) if beyond else 0.0
    return round(prior * float(np.exp(apart * weight)), DIGITS)


def cross_fitted_temperature(
    features: Floats, truth: Flags, head: Head, groups: NDArray[np.int64] | None = None
) -> float | None:
    """The temperature of `head` for images that it has not learnt, from those that it has.

    Args:
        features: (n, F) of training images.
        truth: (n, K), one class each.
        head: as it was trained on them.
        groups: (n,) images of one group are in one fold.

    Returns:
        None where it cannot be said: too few images or groups, or a head that makes no mistake.
    """
    parts = _folds(len(features), groups)
    if parts is None:
        return None
    x, y = torch.from_numpy(features.astype(np.float64)), torch.from_numpy(truth.argmax(1))
    trained = Head(*(values.astype(np.float64) for values in head))
    decay = _decay(x, y, trained)
    unseen = np.empty(truth.shape)
    for fold in range(FOLDS):
        rows = torch.from_numpy(parts != fold)
        unseen[parts == fold] = _fitted(x[rows], y[rows], trained, decay)(x[~rows])
    seen, again = features @ trained.weight.T + trained.bias, _fitted(x, y, trained, decay)(x)
    if any(_all_right(logits, truth) for logits in (seen, unseen, again)):
        return None
    own, honest, optimistic = (fitted_temperature(logits, truth, SOFTMAX) for logits in (seen, unseen, again))
    return own * honest / optimistic


def _folds(images: int, groups: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """The fold (n,) of every image; None: there are fewer groups than folds."""
    _, places = np.unique(np.arange(images) if groups is None else groups, return_inverse=True)
    count = int(places.max(initial=-1)) + 1
    if count < FOLDS:
        return None
    found: NDArray[np.int64] = (np.random.RandomState(0).permutation(count) % FOLDS)[places.reshape(-1)]
    return found


def _decay(x: Tensor, y: Tensor, head: Head) -> float:
    """The weight decay under which this head would be at rest on these images, as far as its length says it."""
    weight = torch.from_numpy(head.weight).requires_grad_()
    loss = functional.cross_entropy(functional.linear(x, weight, torch.from_numpy(head.bias)), y)
    (gradient,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        return max(float(-(gradient * weight).sum() / (weight**2).sum().clamp(min=1e-12)), _LEAST_DECAY)


def _fitted(x: Tensor, y: Tensor, start: Head, decay: float) -> Callable[[Tensor], Floats]:
    """The logits of logistic regression from `start`."""
    weight, bias = (torch.tensor(values, requires_grad=True) for values in start)
    steps = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        steps.zero_grad()
        loss = functional.cross_entropy(functional.linear(x, weight, bias), y) + decay / 2 * (weight**2).sum()
        loss.backward()
        return loss

    steps.step(closure)
    return lambda images: functional.linear(images, weight, bias).detach().numpy()


def _squared_error(logits: Floats, truth: Flags, temperature: float) -> float:
    """The variance of the logarithm of a fitted temperature: the sandwich of its likelihood."""
    scaled = logits / temperature
    chances = probabilities_of(logits, SOFTMAX, temperature)
    mean = (chances * scaled).sum(1)
    curvature = float((chances * (scaled - mean[:, None]) ** 2).sum(1).mean())
    return float(((scaled[truth] - mean) ** 2).mean()) / (len(logits) * max(curvature, 1e-12) ** 2)


def _all_right(logits: Floats, truth: Flags) -> bool:
    """Whether no answer is wrong: then the colder the temperature, the better, and none is found."""
    return bool((logits.argmax(1) == truth.argmax(1)).all())


def _cross_entropy(logits: Floats, truth: Flags, activation: str, temperature: float) -> float:
    scaled = logits / temperature
    if activation == SIGMOID:
        return float(np.logaddexp(0, np.where(truth, -scaled, scaled)).mean())
    most = scaled.max(1)
    total = most + np.log(np.exp(scaled - most[:, None]).sum(1))
    return float((total - scaled[truth]).mean())
