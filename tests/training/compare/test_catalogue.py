"""The catalogue of contestants, and the comparisons that ship: the end-to-end one leaves nothing out."""

from functools import partial
from pathlib import Path

import pytest

from tests.training.compare.fakes import bout
from tests.training.compare.test_contestants import configured
from tests.training.small import small_backbone
from training.compare.catalogue import catalogue, vanilla_after
from training.compare.config import MethodConfig, read_config
from training.compare.generic import of_method
from training.compare.matrix import cells_of, entries_of

RESULTS = Path(__file__).parents[3] / "docs" / "results"
SITES = 24


@pytest.mark.parametrize("name", ["gtsrb", "dtd10", "runs"])
def test_every_configuration_that_ships_is_understood(name: str) -> None:
    config = read_config(RESULTS / f"compare-{name}.toml")
    entries = entries_of(config, catalogue(SITES))
    cells = list(cells_of(config, entries))
    assert len(cells) == len(config.data) * len(config.seeds) * len(config.methods)
    assert len({cell.key for cell in cells}) == len(cells)


def test_the_end_to_end_comparison_has_every_method_and_every_ablation() -> None:
    config = read_config(RESULTS / "compare-runs.toml")
    sizes = {f"vanilla-after-{k}" for k in range(config.cycles, 9)}
    assert {method.label for method in config.methods} == catalogue(SITES).keys() - sizes


def test_the_end_to_end_comparison_searches_no_learning_rate() -> None:
    entries = entries_of(read_config(RESULTS / "compare-runs.toml"), catalogue(SITES))
    assert {len(entry.rates) for entry in entries if entry.method.method != "linear-probe"} == {1}


def test_a_study_gives_every_method_three_rates() -> None:
    entries = entries_of(read_config(RESULTS / "compare-dtd10.toml"), catalogue(SITES))
    assert {len(entry.rates) for entry in entries if entry.method.method != "linear-probe"} == {3}


def test_vanilla_sizes_halve_with_each_pruning() -> None:
    small = small_backbone()
    found = [vanilla_after(k, small, 3, 0).widths for k in range(3)]
    assert found == [(2, 2, 4, 4), (1, 1, 2, 2), (1, 1, 1, 1)]


def test_small_vanilla_adapters_train_from_scratch(tmp_path: Path) -> None:
    contestant = of_method(partial(vanilla_after, 1), since=1)(configured(), 2)
    (row,) = contestant.train(bout(tmp_path))
    assert (row["epochs"], row["widths"]) == (4, [1, 1, 2, 2])


def test_every_name_of_the_catalogue_makes_a_contestant() -> None:
    for name, make in catalogue(4).items():
        contestant = make(MethodConfig(label=name, method=name), 3)
        assert bool(contestant.rates) == (name != "linear-probe")
