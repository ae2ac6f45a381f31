"""Cycles of different lengths, one schedule for a whole run, and a head that starts as a linear probe."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapters_store import unpack
from tests.training.small import small_backbone, small_options, small_prepared
from tests.training.stopping import Stopping
from training.errors import BadConfig
from training.linear_probe import train_linear_probe
from training.mimi import Job, train_mimi
from training.progress import PROGRESS, Position, ProgressFile, progress_rows
from training.run import Run
from training.schedule import learning_rate


def test_the_last_cycle_has_the_epochs_that_the_first_ones_leave() -> None:
    options = small_options(fit=replace(small_options().fit, epochs=4), first_epochs=1)
    assert options.lengths == (1, 1, 10)
    assert [options.epochs_before(cycle) for cycle in range(4)] == [0, 1, 2, 12]
    assert [options.fit_of(cycle).epochs for cycle in range(3)] == [1, 1, 10]
    assert options.fit_of(0).warmup_epochs == 0.125
    assert options.fit_of(2).warmup_epochs == 0.5


def test_a_last_cycle_without_an_epoch_is_refused() -> None:
    with pytest.raises(BadConfig, match="first_epochs"):
        small_options(first_epochs=3)


def test_a_run_of_uneven_cycles_writes_its_epochs_and_says_how_far_it_is(tmp_path: Path) -> None:
    options = small_options(first_epochs=1)
    log = ProgressFile(tmp_path / PROGRESS)
    outcome = train_mimi(Job(small_prepared(), small_backbone(), options, tmp_path, log))
    assert [line["before"] for line in progress_rows(log.path)] == [0, 1, 2, 3, 4, 5]
    files = [unpack((tmp_path / f"size-{size}.safetensors").read_bytes()) for size in range(3)]
    assert [file.manifest.provenance.epochs for file in files] == [1, 2, 6]
    assert outcome.results[-1].neurons == 6


def test_progress_counts_cycles_of_different_lengths() -> None:
    place = Position(2, 3, 4, 10, searched=2, rates=3, lengths=(1, 1, 10))
    assert (place.before, place.done, place.total) == (6, 8, 14)


def test_one_schedule_for_the_run_goes_on_where_the_last_cycle_stopped() -> None:
    options = small_options(restart="run")
    steps, fit = 3, options.fit
    whole = replace(fit, epochs=6)
    for cycle in range(3):
        assert options.schedule_of(cycle) == (whole, 2 * cycle)
    assert small_options().schedule_of(1) is None
    assert learning_rate(5 * steps, steps, whole) < learning_rate(2 * steps, steps, whole)


def test_both_ways_continue_a_stopped_run_to_the_same_bytes(tmp_path: Path) -> None:
    options = small_options(restart="run", first_epochs=1, head_start="probe")

    def train(folder: Path, after: int = 0) -> bytes:
        reporter = Stopping(after)
        return train_mimi(Job(small_prepared(), small_backbone(), options, folder, reporter)).adapter

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", after=4)
    assert train(tmp_path / "parts") == train(tmp_path / "whole")


def test_the_rate_of_a_run_without_restarts_falls_to_its_floor_once(tmp_path: Path) -> None:
    rates: list[float] = []

    class Rates(Stopping):
        def step(self, position: Position, progress: object) -> None:
            rates.append(progress.rate)  # type: ignore[attr-defined]

    options = small_options(restart="run")
    train_mimi(Job(small_prepared(), small_backbone(), options, tmp_path, Rates(after=0)))
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_head_starts_as_the_linear_probe(tmp_path: Path) -> None:
    prepared, backbone = small_prepared(), small_backbone()
    run = Run.begin(prepared, backbone, small_options(head_start="probe"), tmp_path)
    probe, _, _ = train_linear_probe(prepared, backbone)
    assert torch.equal(run.model.head.weight, probe.head.weight)
    assert torch.equal(run.model.head.bias, probe.head.bias)
