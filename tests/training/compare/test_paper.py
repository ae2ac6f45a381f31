"""The paper's tables and figures as files: each is understood, each runs in miniature, and their plans count right."""

from dataclasses import replace
from pathlib import Path

import pytest

from mimi.cli import main
from tests.training.compare.fakes import cost, rows
from tests.training.data.trees import write_folder
from tests.training.small import small_backbone, small_prepared, small_set
from training.compare import plan as planning
from training.compare.catalogue import catalogue
from training.compare.config import Config, DataConfig, parse_config, read_config
from training.compare.matrix import cells_of, entries_of
from training.compare.plan import Size, Speed, plan, size_of
from training.compare.runner import Runner
from training.prepare import Prepared
from training.progress import Silent
from training.report.groups import sections_of
from training.report.means import families_of, means
from training.report.results import read_results

PAPER = Path(__file__).parents[3] / "docs" / "paper"
FILES = ("table1", "table2", "table3", "table4", "fig3", "fig4", "fig5")


def miniature(name: str, folder: Path) -> Config:
    """The file with its methods and options, on tiny images for one epoch a cycle, and on one or two of its sets."""
    whole = read_config(PAPER / f"{name}.toml")
    small = {"epochs": 1, "warmup_epochs": 0.5, "batch_size": 16}
    ends = (whole.data[0], whole.data[-1]) if name == "fig5" else whole.data[:1]
    return replace(
        whole,
        cycles=2,
        seeds=(0,),
        rates=(5e-3,),
        backbones=(),
        runs=folder / "runs.jsonl",
        work=folder / "work",
        data=tuple(replace(data, fit=replace(data.fit, **small)) for data in ends),  # type: ignore[arg-type]
        methods=tuple(replace(method, rates=None) for method in whole.methods),
    )


def tiny(data: DataConfig, seed: int) -> Prepared:
    """A batch and a half, the same whatever is asked for."""
    del data, seed
    return replace(small_prepared(), train=small_set(24, 0), validation=small_set(6, 1), test=small_set(6, 2))


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_understood_and_has_the_papers_budget(name: str) -> None:
    config = read_config(PAPER / f"{name}.toml")
    for each in config.of_one_backbone:
        cells = list(cells_of(each, entries_of(each, catalogue(24))))
        assert len({cell.key for cell in cells}) == len(cells) == len(config.data) * 3 * len(config.methods)
    assert config.cycles == 5
    assert {data.fit.epochs for data in config.data} == {100}


def test_the_files_share_their_cells() -> None:
    """Figure 3 takes from Table 1 what it has in common with it, and nothing is trained twice."""

    def keys(name: str) -> set[object]:
        (config,) = read_config(PAPER / f"{name}.toml").of_one_backbone
        return {cell.key for cell in cells_of(config, entries_of(config, catalogue(24)))}

    assert len(keys("table1") & keys("fig3")) == 4 * 3 * 12
    assert len(keys("table1") & keys("table4")) == 3 * 13


def test_all_29_data_sets_of_the_protocol_have_their_sizes(tmp_path: Path) -> None:
    config = read_config(PAPER / "fig3.toml")
    found = {data.name: size_of(data, tmp_path, 0.1) for data in config.data}
    assert len(found) == 29
    assert found["flowers102"].train == 2040 - 204
    assert found["flowers102"].test == 6149
    assert all(size.missing and size.classes for size in found.values())


@pytest.mark.parametrize("name", FILES)
def test_every_file_runs_in_miniature(name: str, tmp_path: Path) -> None:
    config = miniature(name, tmp_path)
    entries = entries_of(config, catalogue(4))
    assert Runner(config, entries, small_backbone(), tiny, cost, {"device": "test"}, Silent).work()
    found = rows(config)
    expected = {(data.name, method.label) for data in config.data for method in config.methods}
    assert {(row["dataset"], row["method"]) for row in found} == expected
    assert all(row["paper_params"] > row["adapter_params"] for row in found)
    tables = [means(family) for family in families_of(sections_of(read_results([config.runs])))]
    lines = [line for _, body in tables for line in body]
    assert {line[0] for line in lines} == {method.label for method in config.methods}
    assert all(0 <= float(line[-1]) <= 100 for line in lines)  # every mean is over all of its sets


SMALL = """
cycles = 3
seeds = [0, 1]
rates = [1e-3, 2e-3]
validation = 0.25
runs = "{0}/runs.jsonl"
[defaults]
epochs = 10
warmup_epochs = 1
[data.flowers]
spec = "flowers102:flowers"
[data.pets]
per_class = 2
[data.unknown]
[methods]
linear-probe = {{}}
lora = {{}}
mimi = {{}}
"""


def test_a_plan_counts_epochs_searches_and_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "pets", {"ant": 8, "cat": 8})
    config = parse_config(SMALL.format(tmp_path), "config")
    monkeypatch.setattr(planning, "measured", lambda *_, **__: Speed(1.0, 0.1))
    sizes = {data.name: size_of(data, tmp_path, config.validation) for data in config.data}
    assert sizes["pets"] == Size(4, 4, 0, 2)
    assert sizes["flowers"].missing is not None
    assert sizes["unknown"] == Size(missing=sizes["unknown"].missing)
    entries, network, said = entries_of(config, catalogue(4)), small_backbone(), list[str]()
    found = {
        (each.cell.data.name, each.cell.entry.method.label, each.cell.seed): each.seconds
        for each in plan(config, entries, network, sizes, said.append)
    }
    assert said[:3] == [f"measuring {name} on {network.name}" for name in ("linear-probe", "lora", "mimi")]
    epoch = 1530 * 1.0 + 510 * 0.1
    assert found["flowers", "lora", 1] == pytest.approx(3 * 10 * epoch + 3 * 6149 * 0.1)
    assert found["flowers", "mimi", 0] == pytest.approx(4 * 10 * epoch + 3 * 6149 * 0.1)  # a rate more is tried
    assert found["flowers", "linear-probe", 0] == pytest.approx(0.1 * (1530 + 4 * 510 + 6149))
    assert found["pets", "lora", 1] == pytest.approx(30 * (4 * 1.0 + 4 * 0.1))
    assert found["unknown", "lora", 0] is None


def test_the_command_prints_cost_and_what_is_missing_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "pets", {"ant": 8, "cat": 8})
    path = tmp_path / "plan.toml"
    path.write_text(SMALL.format(tmp_path))
    arguments = ["compare", str(path), "--plan", "--data", str(tmp_path), "--device", "cpu", "--only", "lora"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "missing: flowers: flowers102: " in out
    assert "missing: unknown: " in out
    assert "missing: pets" not in out
    assert "total: at least " in out
    assert {path.name for path in tmp_path.iterdir()} == {"pets", "plan.toml"}


def test_defaults_and_backbones_are_checked_as_everything_is() -> None:
    for change, why in (
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("[backbones]\nswin = 3", r"\[backbones\] swin must be text"),
    ):
        with pytest.raises(ValueError, match=why):
            parse_config(SMALL.format("x").replace("epochs = 10", f"epochs = 10\n{change}"), "config")
    data: tuple[DataConfig, ...] = parse_config(SMALL.format("x"), "config").data
    assert [each.fit.epochs for each in data] == [10, 10, 10]
