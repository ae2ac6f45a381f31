"""Warm-up and cosine, restarted in every cycle."""

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

from training.options import FitOptions
from training.schedule import learning_rate

FIT = FitOptions(epochs=100, warmup_epochs=20, learning_rate=5e-4)


def test_the_rate_jumps_where_the_code_ends_its_warm_up() -> None:
    assert learning_rate(19, 1, FIT) == pytest.approx(4.75e-4, rel=1e-3)
    assert learning_rate(20, 1, FIT) == pytest.approx(4.53e-4, rel=1e-3)


def test_with_a_prefix_the_cosine_starts_at_the_peak() -> None:
    prefixed = FitOptions(epochs=100, warmup_epochs=20, learning_rate=5e-4, warmup_prefix=True)
    assert learning_rate(20, 1, prefixed) == pytest.approx(5e-4)


def test_a_cycle_starts_and_ends_near_zero() -> None:
    assert learning_rate(0, 10, FIT) == pytest.approx(5e-7)
    assert learning_rate(999, 10, FIT) == pytest.approx(5e-6, rel=1e-2)


def test_the_rate_equals_timms_scheduler() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5e-4)
    theirs = CosineLRScheduler(optimizer, t_initial=100, lr_min=5e-6, warmup_t=20, warmup_lr_init=5e-7, cycle_limit=1)
    for step in range(100):
        theirs.step(step)
        assert learning_rate(step, 1, FIT) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
