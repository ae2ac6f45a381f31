"""Candidates at equal budgets: what their rows say, and that a crash changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backbone import Backbone
from tests.training.compare.fakes import FIT, trial
from tests.training.compare.vanilla import Vanilla, train_vanilla
from tests.training.small import small_backbone, small_prepared
from training.compare.candidate import Candidate, Trial, linear_probe, seconds_until
from training.compare.catalogue import of_variant
from training.compare.config import MethodConfig
from training.compare.generic import Training, of_method
from training.errors import BadConfig, CheckpointMismatch
from training.fit import Progress, evaluate
from training.jsonl import Row
from training.linear_probe import train_linear_probe
from training.model import AdaptedModel, TaskModel
from training.progress import PROGRESS, Position, ProgressFile, Several, Silent

WIDTHS = (4, 4, 8, 8)
FIGURES = {
    "cycle", "epochs", "seconds", "val_top1", "test_top1", "adapter_params", "head_params", "gflops", "gflops_paper",
    "first_live_site", "shared_gflops",
}  # fmt: skip


def build(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    return AdaptedModel(backbone, WIDTHS, classes, seed=seed)


def configured(**options: object) -> MethodConfig:
    return MethodConfig(label="x", method="x", options=options)


def made(since: int = 0, cycles: int = 3, **options: object) -> Candidate:
    return of_method(build, since=since)(configured(**options), cycles)


def pruned(cycles: int = 3, **options: object) -> Candidate:
    return of_variant(lambda chosen: chosen)(configured(initial_sigma=16.0, **options), cycles)


def without_time(rows: Iterator[Row]) -> list[Row]:
    return [{**row, "seconds": None} for row in rows]


def test_a_method_has_a_row_for_every_budget(tmp_path: Path) -> None:
    rows = list(made().train(trial(tmp_path)))
    assert [(row["cycle"], row["epochs"]) for row in rows] == [(0, 2), (1, 4), (2, 6)]
    assert all(row.keys() >= FIGURES and row["widths"] == list(WIDTHS) and row["neurons"] == 24 for row in rows)


def test_a_generic_method_is_trained_as_vanilla_adapters_are(tmp_path: Path) -> None:
    vanilla = Vanilla(WIDTHS, 3, FIT, 0)
    expected = list(train_vanilla(vanilla, small_prepared(), small_backbone()))
    assert [row["val_top1"] for row in made().train(trial(tmp_path))] == expected


def test_mimis_first_cycle_is_vanilla_training(tmp_path: Path) -> None:
    at = trial(tmp_path / "rate-0.005")
    assert pruned().first(at) == pytest.approx(made().first(trial(tmp_path / "other")))


@pytest.mark.parametrize("candidate", [made(), pruned()], ids=["method", "mimi"])
def test_the_first_cycle_is_not_trained_twice(candidate: Candidate, tmp_path: Path) -> None:
    seen: list[Position] = []

    class Watch(Silent):
        def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
            seen.append(place)

    at = trial(tmp_path / "rate-0.005", reporter=Watch())
    first = candidate.first(at)
    assert candidate.first(at) == first
    rows = list(candidate.train(at))
    assert [(place.cycle, place.epoch) for place in seen] == [(c, e) for c in range(3) for e in range(2)]
    assert rows[0]["val_top1"] == pytest.approx(first)


class Stop(Exception):
    """Raised to end a training where a test wants it ended."""


class StopAt(Silent):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, place: Position, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stop


def weights(at: Trial, how: int) -> dict[str, torch.Tensor]:
    """Of the checkpoint after the last epoch."""
    training = Training.begin(at, build, how)
    assert training.epochs == how * at.fit.epochs
    return {name: tensor.detach().clone() for name, tensor in training.model.task_parameters().items()}


@pytest.mark.parametrize("steps", [2, 4, 8, 16])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(steps: int, tmp_path: Path) -> None:
    whole, again = trial(tmp_path / "whole"), trial(tmp_path / "stopped")
    expected = without_time(made().train(whole))
    with pytest.raises(Stop):
        list(made().train(replace(again, reporter=StopAt(steps))))
    assert without_time(made().train(again)) == expected
    for name, tensor in weights(whole, 3).items():
        assert torch.equal(tensor, weights(again, 3)[name]), name


def test_a_finished_training_gives_its_rows_again(tmp_path: Path) -> None:
    at = trial(tmp_path)
    assert without_time(made().train(at)) == without_time(made().train(at))


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    made().first(trial(tmp_path))
    with pytest.raises(CheckpointMismatch, match="options"):
        made(weight_decay=0.5).first(trial(tmp_path))


def test_vanilla_at_a_smaller_size_is_reported_at_mimis_budget_only(tmp_path: Path) -> None:
    assert [(row["cycle"], row["epochs"]) for row in made(since=2).train(trial(tmp_path))] == [(2, 6)]


def test_a_method_may_set_its_own_decay_but_not_its_budget() -> None:
    made(weight_decay=0.0, clip=1.0)
    with pytest.raises(BadConfig, match=r"\[methods\] x: unknown key 'epochs'"):
        made(epochs=9)
    with pytest.raises(BadConfig, match=r"\[methods\] x: unknown key 'epochs'"):
        pruned(epochs=9)
    with pytest.raises(BadConfig, match="unknown key 'clip'"):
        linear_probe(configured(clip=1.0), 3)


def test_the_linear_probe_solves_what_is_easy_and_reports_what_it_measured(tmp_path: Path) -> None:
    at = trial(tmp_path)
    (row,) = linear_probe(configured(), 3).train(at)
    model, validation, penalty = train_linear_probe(at.prepared, at.backbone)
    assert (row["val_top1"], row["penalty"], row["adapter_params"]) == (validation, penalty, 0)
    assert row["test_top1"] == evaluate(model, small_prepared().test)  # type: ignore[arg-type]
    assert row["first_live_site"] is None
    assert validation > 0.9
    assert linear_probe(configured(), 3).rates == ()
    assert linear_probe(configured(), 3).first(at) == 0.0


def test_what_tasks_share_is_everything_before_the_first_site_that_differs(tmp_path: Path) -> None:
    late = of_method(lambda small, classes, seed: AdaptedModel(small, (0, 0, 0, 2), classes, seed=seed))
    (row,) = late(configured(), 1).train(trial(tmp_path))
    small = small_backbone()
    before = small.stem.flops + sum(site.enter_flops + site.flops for site in small.sites[:3])
    assert (row["first_live_site"], row["shared_gflops"]) == (3, before / 1e9)


def test_seconds_are_those_of_training_until_the_figure_and_an_epoch_run_twice_counts_once(tmp_path: Path) -> None:
    log = ProgressFile(tmp_path / PROGRESS)
    log.epoch(Position(0, 2, 0, 1), Progress(1, 1, 1.0, 0.5, 0.1), 0.5)
    at = trial(tmp_path, reporter=Several((Silent(), log)))
    rows = list(made().train(at))
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    assert rows[0]["seconds"] == seconds_until(tmp_path, 0) > 0
