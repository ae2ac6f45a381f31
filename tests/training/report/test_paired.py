"""Paired differences: seeds are matched, intervals are Student's, and what has no partner is left out."""

from pathlib import Path

import pytest

from tests.training.report.rows import row, written
from training.report.comparison import write_comparison
from training.report.groups import Section, sections_of
from training.report.paired import differences, half_width, overall
from training.report.results import read_results


def sections(folder: Path, *sets: dict[str, list[float]]) -> list[Section]:
    rows = [
        row(method, seed, 1, test_top1=value, dataset=f"set {number}", arena=f"arena {number}")
        for number, each in enumerate(sets)
        for method, values in each.items()
        for seed, value in enumerate(values)
    ]
    return sections_of(read_results([written(folder, rows)]))


def test_the_interval_is_students() -> None:
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.303 / 3**0.5)
    assert half_width([1.0]) is None
    assert half_width([0.0, 1.0] * 50) == pytest.approx(1.96 * 0.5025 / 10, rel=1e-3)


def test_seeds_are_paired_and_differences_are_points(tmp_path: Path) -> None:
    (section,) = sections(tmp_path, {"mimi": [0.50, 0.60, 0.70], "lora": [0.49, 0.58, 0.67], "ssf": [0.9]})
    table = differences(section)
    assert table is not None
    lora, ssf = table[1]
    assert lora == ("lora", "+2.0", "-0.5 to +4.5", "+1.0, +2.0, +3.0")
    assert ssf == ("ssf", "-40.0", "-", "-40.0")


def test_over_data_sets_only_methods_of_all_of_them_count(tmp_path: Path) -> None:
    found = sections(
        tmp_path, {"mimi": [0.5, 0.5], "lora": [0.4, 0.4], "ssf": [0.5, 0.5]}, {"mimi": [0.5, 0.5], "lora": [0.6, 0.6]}
    )
    table = overall(found)
    assert table is not None
    ((method, middle, interval, worst, sets, pairs),) = table[1]
    assert (method, middle, worst, sets, pairs) == ("lora", "+0.0", "-10.0", "2", "4")
    assert interval.startswith("-18.4 to")
    assert overall(found[:1]) is None


def test_without_the_reference_there_is_nothing_to_pair(tmp_path: Path) -> None:
    assert differences(sections(tmp_path, {"lora": [0.5, 0.5]})[0]) is None


def test_the_report_has_both_tables(tmp_path: Path) -> None:
    each = {"mimi": [0.5, 0.6], "lora": [0.4, 0.4]}
    rows = [
        row(method, seed, 1, test_top1=value, dataset=name, arena=name)
        for name in ("a", "b")
        for method, values in each.items()
        for seed, value in enumerate(values)
    ]
    write_comparison([written(tmp_path, rows)], tmp_path / "out")
    text = (tmp_path / "out" / "tables.md").read_text()
    assert text.count("### MiMi against the others, paired by seed") == 2
    assert text.count("## MiMi against the others, over data sets") == 1
    assert "mimi is above it by" in (tmp_path / "out" / "report.html").read_text()
