"""MiMi and its variants as contestants: their rows, their options, and their budget."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.compare.fakes import bout
from tests.training.compare.test_contestants import FIGURES, configured, pruned
from training.compare.errors import BadConfig
from training.compare.pruned import of_variant
from training.options import MiMiOptions


def test_mimi_has_a_row_for_every_size_and_its_file_is_measured(tmp_path: Path) -> None:
    at = bout(tmp_path / "rate-0.005")
    rows = list(pruned().train(at))
    assert [(row["cycle"], row["epochs"], row["neurons"]) for row in rows] == [(0, 2, 24), (1, 4, 12), (2, 6, 6)]
    assert [row["sigma"] for row in rows] == [16, 32, 64]
    assert all(row.keys() >= FIGURES for row in rows)
    assert rows[2]["file_bytes"] == (at.folder / "size-2.safetensors").stat().st_size


def test_mimi_prunes_until_the_others_have_had_their_cycles(tmp_path: Path) -> None:
    rows = list(pruned(2).train(bout(tmp_path / "rate-0.005")))
    assert [row["neurons"] for row in rows] == [24, 12]


def test_mimis_options_are_everything_that_its_algorithm_has(tmp_path: Path) -> None:
    rows = list(pruned(2, criterion="random", clip=1.0).train(bout(tmp_path / "rate-0.005")))
    assert [row["neurons"] for row in rows] == [24, 12]


def test_another_budget_or_an_impossible_option_is_refused_by_name() -> None:
    with pytest.raises(BadConfig, match="x: trains 3 cycles, the others 2: no equal budget"):
        pruned(2, target_sigma=64.0)
    with pytest.raises(BadConfig, match=r"\[methods\] x: pruning_fraction must be"):
        pruned(2, pruning_fraction=2.0)

    def longer(options: MiMiOptions) -> MiMiOptions:
        return replace(options, extra_cycles=1)

    with pytest.raises(BadConfig, match="no equal budget"):
        of_variant(longer)(configured(), 2)


def test_weights_that_are_gone_are_counted_where_matrices_stay(tmp_path: Path) -> None:
    single = {"granularity": "weight", "scope": "site"}
    first, second = pruned(2, **single).train(bout(tmp_path / "rate-0.005"))
    assert first["adapter_params"] == second["adapter_params"] == first["nonzero_params"]
    assert second["nonzero_params"] == pytest.approx(first["nonzero_params"] / 2, rel=0.05)
