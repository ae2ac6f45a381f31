"""The catalogue of candidates, and the comparisons that ship: the end-to-end one leaves nothing out."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.training.compare.fakes import trial
from tests.training.compare.test_candidate import FIGURES, configured, pruned
from tests.training.small import small_backbone
from training.compare.catalogue import catalogue, of_variant, vanilla_after
from training.compare.config import MethodConfig, read_config
from training.compare.generic import of_method, structure_of
from training.compare.matrix import cells_of, entries_of
from training.errors import BadConfig
from training.methods import METHODS
from training.options import MiMiOptions

RESULTS = Path(__file__).parents[3] / "docs" / "results"
SITES = 24


@pytest.mark.parametrize("name", ["gtsrb", "dtd10", "runs", "dino", "default"])
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
    candidate = of_method(partial(vanilla_after, 1), since=1)(configured(), 2)
    (row,) = candidate.train(trial(tmp_path))
    assert (row["epochs"], row["widths"]) == (4, [1, 1, 2, 2])


def test_every_name_of_the_catalogue_makes_a_contestant() -> None:
    for name, make in catalogue(4).items():
        candidate = make(MethodConfig(label=name, method=name), 3)
        assert bool(candidate.rates) == (name != "linear-probe")


def test_mimi_has_a_row_for_every_size_and_its_file_is_measured(tmp_path: Path) -> None:
    at = trial(tmp_path / "rate-0.005")
    rows = list(pruned().train(at))
    assert [(row["cycle"], row["epochs"], row["neurons"]) for row in rows] == [(0, 2, 24), (1, 4, 12), (2, 6, 6)]
    assert [row["sigma"] for row in rows] == [16, 32, 64]
    assert all(row.keys() >= FIGURES for row in rows)
    assert rows[2]["file_bytes"] == (at.folder / "size-2.safetensors").stat().st_size


def test_mimi_prunes_until_the_others_have_had_their_cycles(tmp_path: Path) -> None:
    rows = list(pruned(2).train(trial(tmp_path / "rate-0.005")))
    assert [row["neurons"] for row in rows] == [24, 12]


def test_mimis_options_are_everything_that_its_algorithm_has(tmp_path: Path) -> None:
    rows = list(pruned(2, criterion="random", clip=1.0).train(trial(tmp_path / "rate-0.005")))
    assert [row["neurons"] for row in rows] == [24, 12]


def test_another_budget_or_an_impossible_option_is_refused_by_name() -> None:
    with pytest.raises(BadConfig, match="x: trains 3 cycles, the others 2: no equal budget"):
        pruned(2, target_sigma=64.0)
    with pytest.raises(BadConfig, match=r"\[methods\] x pruning_fraction must be"):
        pruned(2, pruning_fraction=2.0)

    def longer(options: MiMiOptions) -> MiMiOptions:
        return replace(options, extra_cycles=1)

    with pytest.raises(BadConfig, match="no equal budget"):
        of_variant(longer)(configured(), 2)


def test_weights_that_are_gone_are_counted_where_matrices_stay(tmp_path: Path) -> None:
    single = {"granularity": "weight", "scope": "site"}
    first, second = pruned(2, **single).train(trial(tmp_path / "rate-0.005"))
    assert first["adapter_params"] == second["adapter_params"] == first["nonzero_params"]
    assert second["nonzero_params"] == pytest.approx(first["nonzero_params"] / 2, rel=0.05)


def test_every_structural_option_of_a_method_may_be_set_and_others_are_refused() -> None:
    found = {name: set(structure_of(method.build)) for name, method in METHODS.items()}
    assert found["lora"] == {"rank", "alpha"}
    assert found["vpt-10"] == {"prompts"}
    assert found["adapters-sigma32"] == found["full-adapters"] == {"sigma"}
    assert found["adaptformer-64"] == {"width", "scale"}
    assert found["fact-tk"] == {"rank", "scale"}
    assert found["compacter"] == {"sigma", "rules", "rank_one"}
    make = catalogue(4)["lora"]
    for options in ({"rank": 0}, {"rank": "low"}, {"prompts": 4}):
        with pytest.raises(BadConfig, match=r"\[methods\] own"):
            make(MethodConfig(label="own", method="lora", options=options), 2)


def test_a_structural_option_changes_what_trains(tmp_path: Path) -> None:
    counts: list[list[object]] = []
    sets: tuple[dict[str, object], ...] = ({}, {"rank": 3}, {"rank": 3, "alpha": 1.0, "update": "sgd"})
    for number, options in enumerate(sets):
        candidate = catalogue(4)["lora"](MethodConfig(label="lora", method="lora", options=options), 1)
        counts.append([row["adapter_params"] for row in candidate.train(trial(tmp_path / f"{number}"))])
    assert counts[1] == counts[2] == [int(str(count)) * 3 // 8 for count in counts[0]]
