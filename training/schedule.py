"""The learning rate of every step of a cycle: linear warm-up, then a cosine (timm's CosineLRScheduler, by step)."""

from math import cos, pi

from training.options import FitOptions

_WARMUP_START = 1e-3  # of the peak: 5e-7 of 5e-4
_FLOOR = 1e-2  # of the peak: 5e-6 of 5e-4


def learning_rate(step: int, steps_per_epoch: int, fit: FitOptions) -> float:
    """Rate of step 0, 1, … of a cycle; each cycle starts at 0 again."""
    peak = fit.peak_rate
    warmup = fit.warmup_epochs * steps_per_epoch
    if step < warmup:
        return peak * (_WARMUP_START + (1 - _WARMUP_START) * step / warmup)
    start = warmup if fit.warmup_prefix else 0.0
    progress = (step - start) / (fit.epochs * steps_per_epoch - start)
    return peak * (_FLOOR + (1 - _FLOOR) * (1 + cos(pi * progress)) / 2)
