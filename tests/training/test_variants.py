"""Every variant of MiMi runs to its end, keeps the budget, removes what it says, and resumes to the same bytes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters_store import unpack
from tests.training.small import small_backbone, small_options, small_prepared
from training.cycles import CycleResult
from training.mimi import Job, close_cycle, fit_cycle, train_mimi
from training.options import MiMiOptions, PruningOptions
from training.progress import Silent
from training.run import Run
from training.variants import variants

SITES = 4
NAMES = sorted(variants(SITES))


def options_of(name: str) -> MiMiOptions:
    """One epoch a cycle: enough to see what is removed."""
    options = small_options()
    options = replace(options, fit=replace(options.fit, epochs=1, warmup_epochs=0))
    return variants(SITES)[name](options)


def run(name: str, folder: Path) -> tuple[bytes, tuple[CycleResult, ...]]:
    outcome = train_mimi(Job(small_prepared(), small_backbone(), options_of(name), folder))
    return outcome.adapter, outcome.results


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_has_the_same_number_of_cycles(name: str) -> None:
    assert options_of(name).cycles == small_options().cycles == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_runs_to_its_target(name: str, tmp_path: Path) -> None:
    data, reports = run(name, tmp_path)
    adapter = unpack(data)
    assert len(reports) == 3
    target = 6  # a quarter of the 24 neurons of N = M/4
    if options_of(name).pruning.granularity == "weight":
        weights = [w for site in adapter.sites.values() for w in (site.down, site.up)]
        nonzero = sum(int(np.count_nonzero(w)) for w in weights) / sum(w.size for w in weights)
        expected = 0.5 if name.endswith("-once") else 0.25
        assert nonzero == pytest.approx(expected, abs=0.01)
    else:
        assert reports[-1].neurons == pytest.approx(target, abs=1)
    assert adapter.manifest.provenance.method.startswith("mimi")


@pytest.mark.parametrize("name", ["sparse-adapter", "snip-iterative", "mimi-serve", "local-gradient"])
def test_a_stopped_variant_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    whole, _ = run(name, tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    for _ in range(2):  # a new process each time, as far as the run can tell
        part = Run.begin(small_prepared(), small_backbone(), options_of(name), tmp_path / "parts")
        fit_cycle(part, Silent())
        close_cycle(part, Silent())
    resumed, _ = run(name, tmp_path / "parts")
    assert resumed == whole


def test_a_trunk_empties_sites_from_the_input(tmp_path: Path) -> None:
    _, reports = run("mimi-serve", tmp_path)
    assert [report.first_live_site for report in reports] == [0, 2, 3]
    assert reports[-1].flops < reports[0].flops


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost_exponent": -1.0}, "cost_exponent must be at least 0"),
        ({"trunk": -1}, "trunk must be at least 0"),
        ({"scope": "site", "trunk": 2}, "scope must be global"),
        ({"granularity": "weight"}, 'scope must be "site"'),
        ({"granularity": "weight", "scope": "site", "criterion": "activation"}, "criterion must be of weights"),
    ],
)
def test_what_cannot_be_pruned_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PruningOptions(**changes)  # type: ignore[arg-type]


def test_zero_initialised_weights_cannot_be_told_from_removed_ones() -> None:
    with pytest.raises(ValueError, match="init must be other than zero_up"):
        MiMiOptions(init="zero_up", pruning=PruningOptions(granularity="weight", scope="site"))


def test_a_method_is_named_by_what_differs_from_mimi() -> None:
    assert PruningOptions().name == "mimi"
    assert PruningOptions(criterion="movement", trunk=3).name == "mimi criterion=movement trunk=3"
