"""Files of JSON lines."""

from pathlib import Path

import pytest

from training.errors import DamagedRows
from training.jsonl import add_rows, numbered_rows, read_rows


def test_what_is_added_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    assert read_rows(path) == []
    add_rows(path, [{"a": 1}, {"b": [None, "é"]}])
    add_rows(path, [{"c": 2.5}])
    assert read_rows(path) == [{"a": 1}, {"b": [None, "é"]}, {"c": 2.5}]
    assert [found.name for found in path.parent.iterdir()] == ["lines.jsonl"]


def test_a_last_line_without_its_end_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}')
    add_rows(path, [{"b": 2}])
    assert path.read_text() == '{"a": 1}\n{"b": 2}\n'


@pytest.mark.parametrize("line", ["{", "[1]", "7"])
def test_what_is_no_object_is_named_by_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"a": 1}}\n\n{line}\n')
    with pytest.raises(ValueError, match=r"lines\.jsonl, line 3: no JSON"):
        read_rows(path)


def test_each_row_has_the_number_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('\ufeff{"a": "\u2028"}\n \n{"b": 2}\n', encoding="utf-8")
    assert numbered_rows(path) == [(1, {"a": "\u2028"}), (3, {"b": 2})]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(b"\xff")
    for path in (tmp_path / "lines.jsonl", tmp_path):
        with pytest.raises(DamagedRows, match=path.name):
            read_rows(path)
