"""Working through a comparison: nothing twice, nothing lost, and the same learning rate at every seed."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbone import Backbone
from backbone.errors import UnsupportedBackbone
from tests.training.compare.fakes import config, rows, runner
from tests.training.compare.killed import MAKERS
from tests.training.data.trees import write_folder
from tests.training.small import small_backbone, small_prepared
from training.compare.candidate import Candidate, Make, Trial
from training.compare.config import MethodConfig
from training.compare.generic import of_method
from training.compare.matrix import cells_of, entries_of
from training.compare.runner import _placed, few_of, finished, load, made_by
from training.errors import BadConfig, Diverged, UnreadableRuns
from training.files import locked
from training.jsonl import Row
from training.model import TaskModel


class Fake:
    """A candidate that remembers its calls; its score is the learning rate, and large rates diverge."""

    def __init__(self, rates: tuple[float, ...] = (0.5, 0.25)) -> None:
        self.rates = rates
        self.calls: list[tuple[str, int, float]] = []

    def __call__(self, method: MethodConfig, cycles: int) -> Candidate:
        return Candidate(self.rates, self._first, self._train)

    def _first(self, trial: Trial) -> float:
        self._call("first", trial)
        return trial.fit.learning_rate

    def _train(self, trial: Trial) -> Iterator[Row]:
        self._call("train", trial)
        (trial.folder / "checkpoint.safetensors").touch()
        yield from ({"cycle": cycle, "epochs": 2 * cycle + 2} for cycle in range(2))

    def _call(self, what: str, trial: Trial) -> None:
        self.calls.append((what, trial.seed, trial.fit.learning_rate))
        if trial.fit.learning_rate > 1:
            raise Diverged("too fast")


def test_published_sets_lie_under_the_data_folder_too() -> None:
    root = Path("data")
    assert _placed("vtab/dtd:vtab-1k", root) == "vtab/dtd:data/vtab-1k"
    assert _placed("gtsrb", root) == "data/gtsrb"
    assert _placed("digits", root) == "built-in:digits"
    assert _placed("hf:beans", root) == "hf:beans"


def test_a_method_that_cannot_run_on_the_backbone_ends_nothing_else(tmp_path: Path) -> None:
    def unsupported(backbone: Backbone, classes: int, seed: int) -> TaskModel:
        raise UnsupportedBackbone("no layer for queries, keys and values")

    makers = {**MAKERS, "unsupported": of_method(unsupported)}
    chosen = config("unsupported = {}\nvanilla = {}", tmp_path, seeds="[0]")
    assert not runner(chosen, makers).work()
    assert {row["method"] for row in rows(chosen)} == {"vanilla"}


def test_the_rate_is_chosen_on_seed_0_after_one_cycle_and_kept(tmp_path: Path) -> None:
    fake = Fake()
    chosen = config("fake = { rates = [0.25, 0.75, 2] }", tmp_path, seeds="[1, 2]")
    assert runner(chosen, {"fake": fake}).work()
    assert fake.calls == [
        ("first", 0, 0.25), ("first", 0, 0.75), ("first", 0, 2.0), ("train", 1, 0.75), ("train", 2, 0.75),
    ]  # fmt: skip
    assert all(row["learning_rate"] == 0.75 for row in rows(chosen))
    assert rows(chosen)[0]["rates"] == {"0.25": 0.25, "0.75": 0.75, "2.0": None}


def test_a_rate_that_rows_know_is_not_looked_for_again(tmp_path: Path) -> None:
    fake = Fake()
    for name, seeds in (("here", "[0]"), ("elsewhere", "[0, 1]")):
        chosen = config("fake = { rates = [0.25, 0.75] }", tmp_path, seeds=seeds, work=f'"{tmp_path}/{name}"')
        assert runner(chosen, {"fake": fake}).work()
    first = [("first", 0, rate) for rate in (0.25, 0.75, 1.0, 2.0)]
    assert fake.calls == [*first, ("train", 0, 1.0), ("train", 1, 1.0)]
    known = {"0.25": 0.25, "0.75": 0.75, "1.0": 1.0, "2.0": None}
    assert rows(chosen)[-1]["rates"] == rows(chosen)[0]["rates"] == known


def test_rates_are_the_method_s_in_the_file_then_the_file_s_then_the_method_s_own(tmp_path: Path) -> None:
    makers: dict[str, Make] = {"a": Fake(), "b": Fake(), "c": Fake(())}
    chosen = config("a = {}\nb = { rates = [9.0] }\nc = {}", tmp_path)
    assert [entry.rates for entry in entries_of(chosen, makers)] == [(5e-3,), (9.0,), ()]
    without = config("a = {}", tmp_path, rates="[1e-3] #")
    assert entries_of(without, makers)[0].rates == (1e-3,)


def test_rows_say_what_they_are_of_and_by_what_they_were_made(tmp_path: Path) -> None:
    chosen = config('other = { method = "fake", clip = 1.0 }', tmp_path, cycles="3")
    runner(chosen, {"fake": Fake()}).work()
    row = rows(chosen)[0]
    assert (row["method"], row["dataset"], row["seed"], row["purpose"]) == ("other", "small", 0, "runs")
    assert (row["commit"], row["device"], row["cycle_epochs"], row["per_class"]) == ("abc", "test", 2, 0)
    assert row["options"] == {"method": "fake", "clip": 1.0}
    assert len({(r["arena"], r["cell"]) for r in rows(chosen)}) == 1


def test_a_comparison_started_again_adds_nothing_and_one_with_another_seed_only_that(tmp_path: Path) -> None:
    fake = Fake()
    for seeds in ("[0]", "[0]", "[0, 1]"):
        chosen = config("fake = {}", tmp_path, seeds=seeds)
        assert runner(chosen, {"fake": fake}).work()
    assert [call[:2] for call in fake.calls] == [("first", 0), ("train", 0), ("train", 1)]
    assert [(row["seed"], row["cycle"]) for row in rows(chosen)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_what_changes_a_result_makes_another_cell(tmp_path: Path) -> None:
    fake = Fake()
    for changes in ({}, {"epochs": "3"}, {"rates": "[0.1]"}, {"purpose": '"study"'}):
        text = {"cycles": '2\npurpose = "study"'} if "purpose" in changes else changes
        runner(config("fake = {}", tmp_path, seeds="[0]", **text), {"fake": fake}).work()
    written = rows(config("fake = {}", tmp_path))
    assert len({(row["cell"], row["purpose"]) for row in written}) == 4
    assert len({row["arena"] for row in written}) == 2


def test_a_cell_that_diverges_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    chosen = config("bad = { rates = [3e3, 2e3] }\ngood = {}", tmp_path)
    assert not runner(chosen, {"bad": Fake(), "good": Fake()}).work()
    assert {row["method"] for row in rows(chosen)} == {"good"}


def test_a_cell_that_another_process_holds_is_not_touched(tmp_path: Path) -> None:
    fake, chosen = Fake(), config("fake = {}", tmp_path)
    work = runner(chosen, {"fake": fake})
    first = next(cells_of(chosen, work.entries))
    with locked(first.folder / "seed0.lock", patient=False):
        work.work()
    assert {call[1] for call in fake.calls if call[0] == "train"} == {1}


def test_where_another_process_chooses_the_rate_other_cells_go_first(tmp_path: Path) -> None:
    slow, quick = Fake(), Fake()
    chosen = config("slow = {}\nquick = {}", tmp_path, seeds="[0]")
    work = runner(chosen, {"slow": slow, "quick": quick})
    one, other = cells_of(chosen, work.entries)
    with locked(one.folder / "rates.lock", patient=False):
        work.claim(one, patient=False)
        work.claim(other, patient=False)
    assert not slow.calls
    assert [call[0] for call in quick.calls] == ["first", "train"]
    assert work.work()
    assert [call[0] for call in slow.calls] == ["first", "train"]


def test_a_lock_is_held_once_and_is_free_again(tmp_path: Path) -> None:
    with locked(tmp_path / "a.lock", patient=False) as mine, locked(tmp_path / "a.lock", patient=False) as again:
        assert mine
        assert not again
    with locked(tmp_path / "a.lock", patient=True) as mine:
        assert mine


def test_checkpoints_of_a_finished_cell_are_removed(tmp_path: Path) -> None:
    runner(config("fake = {}", tmp_path), {"fake": Fake()}).work()
    assert not list(tmp_path.rglob("checkpoint.safetensors"))


def test_a_method_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    makers: dict[str, Make] = {"fake": Fake()}
    with pytest.raises(BadConfig, match=r"\[methods\] fakes: no method 'fakes'; known are: fake"):
        entries_of(config("fakes = {}", tmp_path), makers)
    with pytest.raises(BadConfig, match="the configuration has no method x, y"):
        entries_of(config("fake = {}", tmp_path), makers, only=["y", "x", "fake"])
    both = config("fake = {}\nother = { method = 'fake' }", tmp_path)
    assert [entry.method.label for entry in entries_of(both, makers, only=["other"])] == ["other"]


def test_a_damaged_file_of_rows_is_named(tmp_path: Path) -> None:
    runs = tmp_path / "runs.jsonl"
    runs.write_text('{"method": "linear", "seed": 0}\n{"half\n')
    with pytest.raises(UnreadableRuns, match="line 2"):
        finished(runs)
    runs.write_text('{"method": "linear", "seed": 0}\n')
    assert finished(runs) == {("", "", "linear", 0)}


def test_images_of_a_class_are_drawn_by_the_seed() -> None:
    whole = small_prepared()
    few = few_of(whole, 3, 0)
    assert few.train.targets.bincount().tolist() == [3, 3, 3]
    assert len(few.validation) == len(whole.validation)
    assert not few.train.pixels.equal(few_of(whole, 3, 1).train.pixels)
    assert few.train.pixels.equal(few_of(whole, 3, 0).train.pixels)


def test_images_that_are_drawn_keep_their_groups() -> None:
    whole = replace(small_prepared(), groups=np.arange(48) // 2)
    few = few_of(whole, 3, 0)
    places = [(whole.train.pixels == image).flatten(1).all(1).nonzero().item() for image in few.train.pixels]
    assert few.groups is not None
    assert few.groups.tolist() == [place // 2 for place in places]


def test_data_lie_under_the_data_folder_and_are_named_by_the_configuration(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", {"ant": 10, "cat": 10})
    small = small_backbone()
    data = config("fake = {}", tmp_path, epochs='2\nspec = "pets"\nper_class = 4').data[0]
    prepared = load(data, tmp_path, small.preprocessing, validation=0.2, seed=0)
    assert (prepared.name, len(prepared.train), len(prepared.validation)) == ("small", 8, 4)


def test_what_is_built_in_needs_no_folder(tmp_path: Path) -> None:
    data = config("fake = {}", tmp_path, epochs='2\nspec = "digits-demo"').data[0]
    assert len(load(data, tmp_path, small_backbone().preprocessing, validation=0.1, seed=0).labels) == 10


def test_a_row_is_made_by_a_commit_and_a_kind_of_device() -> None:
    made = made_by("cpu")
    assert "CPU, " in made["device"]
    assert re.fullmatch(r"([0-9a-f]{7,}(-dirty)?)?", made["commit"])


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert made_by("cpu")["commit"] == ""


def test_without_validation_the_one_rate_is_taken_and_several_are_refused(tmp_path: Path) -> None:
    fake = Fake()
    chosen = config("fake = {}", tmp_path, cycles="2\nvalidation = 0.0", seeds="[0]")
    assert runner(chosen, {"fake": fake}).work()
    assert fake.calls == [("train", 0, 5e-3)]
    chosen = config("fake = { rates = [0.1, 0.2] }", tmp_path, cycles="2\nvalidation = 0.0")
    with pytest.raises(BadConfig, match="nothing to choose among 2 rates"):
        entries_of(chosen, {"fake": fake})
