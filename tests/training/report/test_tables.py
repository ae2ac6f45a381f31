"""Tables: what they say, and that nothing in a cell breaks them."""

import csv
import io
from pathlib import Path

import pytest

from tests.training.report.rows import SCRIPT, comparison, earlier, row, written
from training.jsonl import Row
from training.report.groups import Section, sections_of
from training.report.results import read_results
from training.report.tables import Table, as_csv, budgets, costs, markdown


def section(folder: Path, rows: list[Row]) -> Section:
    (found,) = sections_of(read_results([written(folder, rows)]))
    return found


def cell(table: Table, method: str, column: str) -> list[str]:
    header, rows = table
    at = list(header).index
    return [line[at(column)] for line in rows if line[at("method")] == method]


def test_methods_stand_together_by_their_budget(tmp_path: Path) -> None:
    table = budgets(section(tmp_path, comparison()))
    assert [(line[0], line[1]) for line in table[1]] == [
        ("converged", "linear-probe"), ("2", "lora"), ("2", "mimi"), ("4", "lora"), ("4", "mimi"),
        ("4", "vanilla-after-1"),
    ]  # fmt: skip
    assert cell(table, "lora", "test") == ["0.410 ± 0.014", "0.510 ± 0.014"]
    assert cell(table, "lora", "validation") == ["0.500", "0.600"]
    assert cell(table, "mimi", "neurons") == ["16", "8"]
    assert cell(table, "linear-probe", "learning rate") == ["-"]
    assert cell(table, "lora", "seeds") == ["2", "2"]


def test_costs_count_bytes_and_what_tasks_share(tmp_path: Path) -> None:
    table = costs(section(tmp_path, comparison()))
    assert cell(table, "mimi", "MB at 4 bytes") == [f"{(80 + 50) * 4 / 1e6:.3f}"]
    assert cell(table, "mimi", "MB of the file") == ["0.000"]
    assert cell(table, "lora", "MB of the file") == ["-"]
    assert cell(table, "lora", "GFLOPs a task, 8 on an image") == ["1.3000"]  # 0.8 / 8 + 1.2
    assert cell(table, "lora", "paper's GFLOPs") == ["1.9000"]


def test_what_earlier_lines_lack_is_left_out(tmp_path: Path) -> None:
    table = costs(section(tmp_path, [earlier("vanilla", 0, 0, widths=[1, 1])]))
    assert cell(table, "adapters-sigma32", "GFLOPs a task, 8 on an image") == ["-"]
    assert cell(table, "adapters-sigma32", "paper's GFLOPs") == ["-"]


def test_a_data_set_without_a_test_split_has_no_test_accuracy(tmp_path: Path) -> None:
    assert cell(budgets(section(tmp_path, [row("lora", 0, 0, test_top1=None)])), "lora", "test") == ["-"]


def test_nothing_in_a_cell_ends_it_or_becomes_markup(tmp_path: Path) -> None:
    text = markdown(budgets(section(tmp_path, [row(f"a|b\n{SCRIPT}", 0, 0)])))
    assert len(text.splitlines()) == 3
    assert "| a\\|b &lt;script&gt;alert(1)&lt;/script&gt; |" in text


def test_csv_has_every_group_with_plain_numbers(tmp_path: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv([section(tmp_path, comparison())]))))
    assert len(lines) == 6
    mimi = next(line for line in lines if line["method"] == "mimi" and line["cycle"] == "1")
    assert (mimi["dataset"], mimi["epochs"], mimi["seeds"]) == ("small", "4", "2")
    assert float(mimi["test_top1_mean"]) == pytest.approx(0.51)
    assert float(mimi["test_top1_sd"]) == pytest.approx(0.02 / 2**0.5)
    assert float(mimi["gflops_of_8_mean"]) == pytest.approx(1.3)
    assert next(line for line in lines if line["method"] == "lora")["sigma_mean"] == ""
