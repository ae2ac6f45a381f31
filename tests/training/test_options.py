"""Sizes, cycles and the checks on what cannot train."""

import pytest

from training.options import FitOptions, MiMiOptions

SWIN_T = (96,) * 4 + (192,) * 4 + (384,) * 12 + (768,) * 4


@pytest.mark.parametrize(
    ("sigma", "parameters"),
    [(8, 4_313_088), (32, 1_078_272), (64, 539_136), (128, 269_568), (256, 134_400), (512, 66_816)],
)
def test_initial_widths_give_the_parameter_counts_of_swin_tiny(sigma: float, parameters: int) -> None:
    widths = MiMiOptions(initial_sigma=sigma, target_sigma=max(sigma, 512)).initial_widths(SWIN_T)
    assert sum(2 * width * dim for width, dim in zip(widths, SWIN_T, strict=True)) == parameters


def test_sigma_over_the_dimension_starts_at_a_quarter_of_the_width() -> None:
    options = MiMiOptions(sigma_definition="dim")
    widths = options.initial_widths(SWIN_T)
    assert sum(2 * width * dim for width, dim in zip(widths, SWIN_T, strict=True)) == 269_568


@pytest.mark.parametrize(
    ("target", "fraction", "prunings"), [(32, 0.5, 0), (64, 0.5, 1), (128, 0.5, 2), (512, 0.5, 4), (512, 0.9, 2)]
)
def test_the_number_of_prunings_mends_equation_2(target: float, fraction: float, prunings: int) -> None:
    options = MiMiOptions(target_sigma=target, pruning_fraction=fraction)
    assert (options.prunings, options.cycles) == (prunings, prunings + 1)


def test_the_learning_rate_scales_with_the_batch_unless_told_not_to() -> None:
    assert FitOptions(batch_size=128).peak_rate == pytest.approx(1.25e-4)
    assert FitOptions(batch_size=128, reference_batch=None).peak_rate == 5e-4


@pytest.mark.parametrize(
    "bad",
    [{"epochs": 0}, {"warmup_epochs": 100}, {"batch_size": 0}, {"learning_rate": 0.0}, {"label_smoothing": 1.0}],
)
def test_a_fit_that_cannot_train_is_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        FitOptions(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [{"pruning_fraction": 1.0}, {"initial_sigma": 0.0}, {"target_sigma": 1.0}, {"validation": 1.0}],
)
def test_an_algorithm_that_cannot_run_is_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        MiMiOptions(**bad)  # type: ignore[arg-type]
