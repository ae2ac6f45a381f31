"""The final table."""

from dataclasses import replace

from training.cycles import CycleResult, results_table


def test_the_table_has_a_row_for_every_size() -> None:
    report = CycleResult(0, (2, 0, 1), 100, 10, 2_000_000, 4096, 0.25, 0.5)
    lines = results_table([report, replace(report, cycle=1, widths=(0, 0, 0), test=0.75)]).splitlines()
    assert len(lines) == 4
    assert [cell.strip() for cell in lines[2].strip("| ").split("|")] == [
        "1",
        "3",
        "2",
        "0",
        "100",
        "10",
        "2.00",
        "4,096",
        "0.25",
        "0.5000",
        "-",
    ]
    assert "0.7500" in lines[3]
