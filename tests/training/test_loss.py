"""Unbalanced classes: what weights and drawing change, that they compose, and that a rare class gains."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from adapters_store import unpack
from tests.training.small import small_backbone, small_options, small_prepared
from training.errors import BadConfig
from training.export import from_file
from training.fit import Progress, logits_of
from training.loss import Loss, loss_of, multilabel_loss, order_of
from training.mimi import Job, train_mimi
from training.options import FitOptions
from training.pixels import PixelSet
from training.prepare import Prepared
from training.progress import Position, Silent
from training.recipe import mixed

TARGETS = torch.tensor([0] * 80 + [1] * 15 + [2] * 5)
SEVERAL = torch.tensor([[1, 0]] * 90 + [[1, 1]] * 10)
LOGITS = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


def fit(**changes: object) -> FitOptions:
    return replace(small_options().fit, **changes)  # type: ignore[arg-type]


def test_classes_weigh_the_same_in_all_and_an_image_one_on_average() -> None:
    weights = loss_of(fit(balance="weights"), TARGETS, 3).weights
    assert weights is not None
    torch.testing.assert_close(weights * torch.bincount(TARGETS), torch.full((3,), 100 / 3))
    half = loss_of(fit(balance="weights", balance_power=0.5), TARGETS, 3).weights
    assert half is not None
    assert half[TARGETS].mean().item() == pytest.approx(1)
    assert (half[2] / half[0]).item() == pytest.approx(4)


def test_a_label_of_several_weighs_what_its_absence_does() -> None:
    loss = loss_of(fit(balance="weights"), SEVERAL, 2)
    assert loss.weights is not None
    assert (loss.weights[1, 1] * 10).item() == pytest.approx((loss.weights[0, 1] * 90).item())
    assert loss.weights[1, 0].item() == pytest.approx(1)  # every image has it
    plain = multilabel_loss(LOGITS[:, :2], SEVERAL)
    torch.testing.assert_close(
        loss_of(fit(), SEVERAL, 2)(LOGITS[:, :2], SEVERAL), multilabel_loss(LOGITS[:, :2], SEVERAL, 0.1)
    )
    assert loss(LOGITS[:, :2], SEVERAL) != plain


def test_smoothing_and_weights_compose() -> None:
    loss = loss_of(fit(balance="weights"), TARGETS, 3)
    each = functional.cross_entropy(LOGITS, TARGETS, label_smoothing=0.1, reduction="none")
    by_class = [each[label == TARGETS].mean() for label in range(3)]
    torch.testing.assert_close(loss(LOGITS, TARGETS), torch.stack(by_class).mean())


def test_an_image_that_is_mixed_with_itself_weighs_what_it_did() -> None:
    """Soft targets of mixing hold the smoothing already; the weight must not."""
    options = fit(balance="weights", mixup=0.5)
    twins = torch.full((6,), 2)
    _, soft = mixed(torch.zeros(6, 3, 4, 4), twins, options, classes=3, seed=0)
    loss = loss_of(options, TARGETS, 3)
    torch.testing.assert_close(loss(LOGITS[:6], soft), loss(LOGITS[:6], twins))


def test_parts_of_a_batch_add_up_to_its_loss() -> None:
    loss = loss_of(fit(balance="weights"), TARGETS, 3)
    parts = [(loss(LOGITS[rows], TARGETS[rows]), len(TARGETS[rows]) / 100) for rows in (slice(0, 90), slice(90, 100))]
    torch.testing.assert_close(sum(part * share for part, share in parts), loss(LOGITS, TARGETS))


def test_without_balance_nothing_is_different() -> None:
    assert loss_of(fit(), TARGETS, 3) == Loss(0.1)
    drawn = order_of(fit(), TARGETS, torch.Generator().manual_seed(3))
    assert drawn.tolist() == torch.randperm(100, generator=torch.Generator().manual_seed(3)).tolist()


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_classes_are_drawn_as_often_as_each_other(power: float) -> None:
    options, generator = fit(balance="sampling", balance_power=power), torch.Generator().manual_seed(0)
    drawn = torch.cat([TARGETS[order_of(options, TARGETS, generator)] for _ in range(50)])
    shares = (torch.bincount(drawn) / len(drawn)).tolist()
    assert shares == pytest.approx([1 / 3] * 3 if power else [0.8, 0.15, 0.05], abs=0.02)


def test_images_of_a_rare_label_are_drawn_as_often_as_the_others() -> None:
    drawn = order_of(fit(balance="sampling"), SEVERAL.repeat(20, 1), torch.Generator().manual_seed(0))
    assert SEVERAL.repeat(20, 1)[drawn][:, 1].double().mean().item() == pytest.approx(0.5, abs=0.05)


class Stopping(Silent):
    """Ends the first attempt after its second epoch."""

    def epoch(self, position: Position, progress: Progress, validation: float | None) -> None:
        if position.epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(tmp_path: Path, balance: str) -> None:
    options, data = small_options(fit=fit(balance=balance)), unbalanced()
    whole = train_mimi(Job(data, small_backbone(), options, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train_mimi(Job(data, small_backbone(), options, tmp_path / "stopped", Stopping()))
    assert train_mimi(Job(data, small_backbone(), options, tmp_path / "stopped")).adapter == whole.adapter


def test_what_is_no_way_to_balance_is_refused() -> None:
    with pytest.raises(BadConfig, match="balance"):
        fit(balance="often")
    with pytest.raises(BadConfig, match="balance_power"):
        fit(balance_power=2.0)


def hard(images: int, seed: int, counts: Mapping[int, int] | None = None) -> PixelSet:
    """Two classes that overlap: a little more red, or a little more green."""
    rng = np.random.default_rng(seed)
    sizes = counts or {0: images // 2, 1: images // 2}
    targets = rng.permutation(np.repeat(list(sizes), list(sizes.values())))
    pixels = rng.integers(60, 190, (len(targets), 1, 1, 3)) + rng.integers(-20, 20, (len(targets), 16, 16, 3))
    pixels[np.arange(len(targets)), :, :, targets] += 35
    return PixelSet(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(targets))


def unbalanced() -> Prepared:
    train = hard(0, 0, {0: 150, 1: 10})
    return replace(small_prepared(), labels=("red", "green"), train=train, validation=hard(40, 1), test=hard(200, 2))


def recalls(folder: Path, **changes: object) -> list[float]:
    """Share of each class's test images that the trained file gives its label."""
    options = small_options(target_sigma=16.0, fit=fit(epochs=8, warmup_epochs=1, **changes))
    data = unbalanced()
    file = train_mimi(Job(data, small_backbone(), options, folder)).adapter
    assert data.test is not None
    given = logits_of(from_file(file, small_backbone()).eval(), data.test.pixels).argmax(1)
    assert unpack(file).manifest.labels == data.labels
    return [float((given[data.test.targets == label] == label).float().mean()) for label in (0, 1)]


def test_a_rare_class_gains(tmp_path: Path) -> None:
    plain = recalls(tmp_path / "plain")
    for balance in ("weights", "sampling"):
        found = recalls(tmp_path / balance, balance=balance)
        assert found[1] > plain[1] + 0.2, balance
        assert sum(found) > sum(plain), balance
    views = recalls(tmp_path / "views", balance="sampling", views=2)
    assert views[1] > plain[1] + 0.2
