"""Rows read, of today's kind and of the studies before, and brought together over seeds."""

from pathlib import Path

import pytest

from tests.training.report.rows import comparison, earlier, row, written
from training.report.errors import UnreadableResult
from training.report.groups import sections_of, series_of
from training.report.results import read_results


def test_every_figure_is_read_once_and_the_last_line_about_it_counts(tmp_path: Path) -> None:
    first = written(tmp_path, [row("lora", 0, 0), row("lora", 0, 0, val_top1=0.9)], "a")
    second = written(tmp_path, [row("lora", 1, 0)], "b")
    found = read_results([first, second])
    assert [(result.seed, result.validation) for result in found] == [(0, 0.9), (1, 0.5)]


def test_lines_of_earlier_studies_are_read_by_todays_names(tmp_path: Path) -> None:
    lines = [
        earlier("linear", 0, 0, epochs=0, learning_rate=None, widths=[0, 0]),
        earlier("vanilla", 0, 0, widths=[8, 8]),
        earlier("mimi", 0, 1, widths=[0, 4]),
    ]
    probe, vanilla, mimi = read_results([written(tmp_path, lines)])
    assert [probe.method, vanilla.method, mimi.method] == ["linear-probe", "adapters-sigma32", "mimi"]
    assert (probe.sigma, vanilla.sigma, mimi.sigma) == (None, 32.0, 128.0)
    assert mimi.shared_gflops is None


def test_a_missing_file_and_a_line_that_is_no_row_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableResult, match="nothing: no such file"):
        read_results([tmp_path / "nothing"])
    with pytest.raises(UnreadableResult, match=r"bad, row 2: no figure of a comparison: KeyError\('dataset'\)"):
        read_results([written(tmp_path, [row("lora", 0, 0), {"method": "x", "val_top1": 1}], "bad")])
    (tmp_path / "worse").write_text("{\n")
    with pytest.raises(UnreadableResult, match="worse, line 1: no JSON"):
        read_results([tmp_path / "worse"])


def test_only_what_was_trained_in_one_way_is_brought_together(tmp_path: Path) -> None:
    lines = [row("lora", 0, 0), row("lora", 1, 0), row("lora", 0, 0, arena="bb"), row("lora", 0, 0, dataset="other")]
    sections = sections_of(read_results([written(tmp_path, lines)]))
    assert [section.title for section in sections] == [
        "small, 50 images a class, 2 epochs a cycle (study), settings aaaaaaaa",
        "small, 50 images a class, 2 epochs a cycle (study), settings bb",
        "other, 50 images a class, 2 epochs a cycle (study)",
    ]
    assert [len(section.groups[0].results) for section in sections] == [2, 1, 1]


def test_mean_and_standard_deviation_are_over_seeds(tmp_path: Path) -> None:
    (section,) = sections_of(read_results([written(tmp_path, comparison())]))
    lora = next(group for group in section.last if group.method == "lora")
    spread = lora.spread(lambda result: result.test)
    assert spread is not None
    assert lora.cycle == 1
    assert spread.mean == pytest.approx(0.51)
    assert spread.sd == pytest.approx(0.02 / 2**0.5)
    assert lora.spread(lambda result: result.sigma) is None
    alone = sections_of(read_results([written(tmp_path, comparison(1))]))[0].groups[0].spread(lambda result: 1.0)
    assert alone is not None
    assert alone.sd is None


def test_what_shrinks_is_a_line_and_what_does_not_its_last_point(tmp_path: Path) -> None:
    lines = [*comparison(), row("vanilla-after-2", 0, 2, adapter_params=40), row("vanilla-after-2", 1, 2)]
    (section,) = sections_of(read_results([written(tmp_path, lines)]))
    drawn = {series.name: [group.cycle for group in series.groups] for series in series_of(section)}
    assert drawn == {"linear-probe": [0], "lora": [1], "mimi": [0, 1], "vanilla-after-k": [1, 2]}
