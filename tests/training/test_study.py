"""The study: every contestant at an equal budget, one line per figure, and nothing done twice."""

import json
import sys
from pathlib import Path

import pytest

from tests.training.small import small_backbone, small_options, small_prepared
from training import study
from training.baselines import Vanilla, train_linear_probe, train_vanilla
from training.contestants import Arena, Row, contestants, widths_at
from training.fit import evaluate
from training.progress import Silent
from training.summary import summarise


def arena(work: Path) -> Arena:
    return Arena(small_backbone(), small_options(), (5e-3,), work, lambda seed: small_prepared())


def test_every_contestant_reports_its_budget_size_and_accuracy(tmp_path: Path) -> None:
    place = arena(tmp_path)
    rows = {name: list(train(place, small_prepared())) for name, train in contestants(place.options).items()}
    assert [row["epochs"] for row in rows["mimi"]] == [2, 4, 6]
    assert [row["epochs"] for row in rows["vanilla"]] == [2, 4, 6]
    assert [row["epochs"] for row in rows["vanilla-after-2"]] == [6]
    assert [row["neurons"] for row in rows["mimi"]] == [24, 12, 6]
    assert rows["linear"][0]["neurons"] == 0
    for row in (row for each in rows.values() for row in each):
        assert {"val_top1", "test_top1", "gflops", "first_live_site", "adapter_params", "seconds"} <= row.keys()


def test_mimis_first_cycle_is_vanilla_training(tmp_path: Path) -> None:
    place = arena(tmp_path)
    train = contestants(place.options)
    first, vanilla = next(train["mimi"](place, small_prepared())), next(train["vanilla"](place, small_prepared()))
    assert first["val_top1"] == pytest.approx(vanilla["val_top1"])
    assert first["widths"] == vanilla["widths"]


def test_vanilla_sizes_halve_with_each_pruning(tmp_path: Path) -> None:
    assert [widths_at(arena(tmp_path), k) for k in range(3)] == [(4, 4, 8, 8), (2, 2, 4, 4), (1, 1, 2, 2)]


def test_vanilla_adapters_are_never_pruned() -> None:
    vanilla = Vanilla((4, 0, 2, 8), 2, small_options().fit, 0)
    sizes = [model.widths for model, _ in train_vanilla(vanilla, small_prepared(), small_backbone(), Silent())]
    assert sizes == [(4, 0, 2, 8)] * 2


def test_the_linear_probe_solves_what_is_easy_and_reports_what_it_measured() -> None:
    prepared = small_prepared()
    model, validation, _ = train_linear_probe(prepared, small_backbone())
    assert evaluate(model, prepared.validation) == validation
    assert validation > 0.9


def run(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    """`python -m training.study` with a tiny network and data set."""
    monkeypatch.setattr(study, "load_backbone", small_backbone)
    monkeypatch.setattr(study, "few_of", lambda *given: small_prepared())
    runs = folder / "runs.jsonl"
    options = ["small", "--runs", str(runs), "--work", str(folder / "work"), "--epochs", "1", "--seeds", "0", "1"]
    monkeypatch.setattr(sys, "argv", ["study", *options, "--rates", "5e-3"])
    study.main()
    return [json.loads(line) for line in runs.read_text().splitlines()]


def test_a_study_started_again_adds_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = run(monkeypatch, tmp_path)
    assert len(rows) == 2 * (1 + 5 + 5 + 4)
    assert run(monkeypatch, tmp_path) == rows


def test_the_summary_gives_mean_and_standard_deviation_over_seeds() -> None:
    row: Row = {
        "method": "mimi", "cycle": 1, "epochs": 10, "learning_rate": 5e-3, "neurons": 12, "live_sites": 3,
        "adapter_params": 1000, "gflops": 0.002, "val_top1": 0.5,
    }  # fmt: skip
    table = summarise([{**row, "test_top1": 0.4}, {**row, "test_top1": 0.5}])
    assert table.splitlines()[2] == ("| 1 | 10 | mimi | 0.005 | 12 | 3.0 | 1,000 | 2.00 | 0.500 | 0.450 ± 0.071 | 2 |")
