"""Plain-text tables."""

from mimi.terminal import Column, format_table


def test_text_stands_left_and_numbers_right() -> None:
    table = format_table([Column("task"), Column("ms", ".1f")], [["digits", 9.96], ["c", None]])
    assert table.splitlines() == ["task       ms", "─────────────", "digits   10.0", "c"]


def test_a_table_without_rows_is_its_titles() -> None:
    assert format_table([Column("a"), Column("bc")], []).splitlines() == ["a   bc", "──────"]
