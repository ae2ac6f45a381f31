"""The cached prefix gives what the whole forward gives, moves on with the first live site, and survives a resume."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.small import small_backbone, small_options, small_prepared, small_set
from training import prefix
from training.fit import Fitting, build_optimizer, evaluate, logits_of, train_epoch
from training.frozen import frozen_backbone
from training.methods import METHODS
from training.mimi import Job, close_cycle, fit_cycle, train_mimi
from training.model import AdaptedModel
from training.options import FitOptions, MiMiOptions
from training.prefix import START, Cut, PrefixCache, augmented_views
from training.progress import Silent
from training.run import Run
from training.variants import variants

WIDTHS = (0, 0, 5, 3)


def options(views: int = 2, name: str = "mimi-serve") -> MiMiOptions:
    chosen = variants(4)[name](small_options())
    return replace(chosen, fit=replace(chosen.fit, views=views))


def test_logits_from_the_prefix_are_those_of_the_whole_forward() -> None:
    model, images = AdaptedModel(small_backbone(), WIDTHS, 3), small_set(20, 0)
    for cut in (model.cut, Cut(model.first_site)):
        inputs = PrefixCache(images).inputs(model.frozen, 0, cut)
        torch.testing.assert_close(logits_of(model, inputs, cut), logits_of(model, images.pixels))


def test_gradients_from_the_prefix_are_those_of_the_whole_forward() -> None:
    model, images = AdaptedModel(small_backbone(), WIDTHS, 3), small_set(20, 0)
    inputs = PrefixCache(images).inputs(model.frozen, 0, model.cut)
    cached, whole = logits_of(model, inputs, model.cut).square().sum(), logits_of(model, images.pixels).square().sum()
    parameters = list(model.own_parameters().values())
    for a, b in zip(torch.autograd.grad(cached, parameters), torch.autograd.grad(whole, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_going_on_from_an_earlier_site_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "BATCH", 7)  # more than one, and a short one
    frozen, images = frozen_backbone(small_backbone()), small_set(20, 0)
    moved = PrefixCache(images)
    for cut in (START, Cut(1), Cut(1, branch=True), Cut(2, branch=True), Cut(4)):
        gone_on = moved.inputs(frozen, 0, cut)
        assert torch.equal(gone_on, PrefixCache(images).inputs(frozen, 0, cut))
    assert torch.equal(moved.inputs(frozen, 0, Cut(2)), PrefixCache(images).inputs(frozen, 0, Cut(2))), "and back"


def test_a_branch_in_which_something_trains_is_no_part_of_the_prefix() -> None:
    adapted, inside = AdaptedModel(small_backbone(), WIDTHS, 3), METHODS["lora"].build(small_backbone(), 3, 0)
    assert adapted.cut == Cut(2, branch=True)
    assert inside.cut == START
    assert AdaptedModel(small_backbone(), (0,) * 4, 3).cut == Cut(4)
    for site in inside.backbone.sites[:2]:
        site.requires_grad_(False)
    assert inside.cut == Cut(2)


def test_nothing_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, cache = frozen_backbone(small_backbone()), PrefixCache(small_set(20, 0))
    first = cache.inputs(frozen, 0, Cut(2))
    monkeypatch.setattr(type(frozen.backbone), "embed", lambda *_: pytest.fail("the prefix was computed again"))
    assert cache.inputs(frozen, 0, Cut(2)) is first
    cache.inputs(frozen, 0, Cut(3, branch=True))  # goes on from site 2


def test_views_differ_from_each_other_and_not_from_themselves() -> None:
    frozen, images = frozen_backbone(small_backbone()), small_set(20, 0)

    def drawn(seed: int) -> list[Tensor]:
        cache = PrefixCache(images, augmented_views(FitOptions(views=2, shift=3), seed))
        return [cache.inputs(frozen, view, START) for view in range(2)]

    (first, second), again, other = drawn(0), drawn(0), drawn(1)
    assert torch.equal(first, again[0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, other[0])
    assert not torch.equal(first, images.pixels)


def test_large_sets_lie_in_a_file() -> None:
    frozen, images = frozen_backbone(small_backbone()), small_set(20, 0)
    small = PrefixCache(images, memory_limit=10)
    assert torch.equal(small.inputs(frozen, 0, Cut(2)), PrefixCache(images).inputs(frozen, 0, Cut(2)))


def test_evaluation_with_a_cache_is_evaluation() -> None:
    model, images = AdaptedModel(small_backbone(), WIDTHS, 3), small_set(40, 0)
    cache = PrefixCache(images)
    assert evaluate(model, images, cache=cache) == evaluate(model, images) == evaluate(model, images, cache=cache)


def test_one_view_without_augmentation_trains_as_if_nothing_were_cached() -> None:
    plain = FitOptions(epochs=1, warmup_epochs=0, batch_size=16, flip=False, shift=0)
    trained = []
    for fit in (plain, replace(plain, views=1)):
        model = AdaptedModel(small_backbone(), WIDTHS, 3)
        fitting = Fitting(model, build_optimizer(model, fit), fit, 0)
        train_epoch(fitting, small_prepared().train, cycle=0, epoch=0, on_step=lambda progress: None)
        trained.append(model.live[2].down.detach())
    torch.testing.assert_close(*trained)


def test_a_resumed_run_with_cached_views_writes_the_same_bytes(tmp_path: Path) -> None:
    whole = train_mimi(Job(small_prepared(), small_backbone(), options(), tmp_path / "whole")).adapter
    (tmp_path / "parts").mkdir()
    for _ in range(2):
        part = Run.begin(small_prepared(), small_backbone(), options(), tmp_path / "parts")
        fit_cycle(part, Silent())
        close_cycle(part, Silent())
    resumed = train_mimi(Job(small_prepared(), small_backbone(), options(), tmp_path / "parts")).adapter
    assert resumed == whole


def test_stochastic_depth_in_a_cached_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="drop_path must be 0 where views are cached"):
        FitOptions(views=2, drop_path=0.1)
