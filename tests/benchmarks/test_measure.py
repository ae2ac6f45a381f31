"""Intervals as the sign test's tables give them, rounds that favour nobody, figures with their context."""

from pathlib import Path

import pytest

from benchmarks.measure import Estimate, commit_of, context, differences, interleave, interval, ratios


@pytest.mark.parametrize(("values", "low", "high"), [(6, 1, 6), (15, 4, 12), (25, 8, 18), (41, 14, 28)])
def test_an_interval_is_the_sign_tests(values: int, low: int, high: int) -> None:
    assert interval(range(values, 0, -1)) == Estimate((values + 1) / 2, low, high)


def test_too_few_values_give_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 6"):
        interval([1.0] * 5)


def test_comparisons_are_made_within_rounds() -> None:
    slow, fast = [4.0, 20.0, 6.0, 8.0, 10.0, 2.0], [2.0, 10.0, 3.0, 4.0, 5.0, 1.0]
    assert ratios(slow, fast) == Estimate(2.0, 2.0, 2.0)
    assert differences(slow, fast) == Estimate(3.5, 1.0, 10.0)


def test_every_round_runs_every_variant_and_each_begins_in_turn() -> None:
    ran: list[str] = []
    times = interleave({name: lambda name=name: ran.append(name) for name in "ab"}, rounds=3)  # type: ignore[misc]
    assert "".join(ran) == "ababbaab"  # warm-up, then the rounds
    assert {len(each.seconds) for each in times.values()} == {3}
    assert {len(each.cpu_seconds) for each in times.values()} == {3}


def test_a_figure_carries_machine_versions_and_commit() -> None:
    found = context(["numpy"])
    assert {"machine", "load_average", "versions", "commit"} <= found.keys()


def test_without_a_checkout_or_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(Path(__file__).parent) is None
