"""A loaded machine is not measured."""

import os
from pathlib import Path

import pytest

from benchmarks import quiet
from benchmarks.engine import main
from benchmarks.quiet import LoadedError, Ticks, share_of_others, verdict


@pytest.mark.parametrize(
    ("load", "share", "why"),
    [(0.2, 0.02, None), (0.2, None, None), (3.0, 0.0, "load average is 3.00"), (0.2, 0.5, "use 50%")],
)
def test_a_verdict_names_what_is_too_much(load: float, share: float | None, why: str | None) -> None:
    found = verdict(load, 2, share)
    assert (found is None) if why is None else (found is not None and why in found)


def test_what_others_use_is_what_neither_idled_nor_was_ours() -> None:
    before, after = Ticks(total=1000, busy=500, ours=100), Ticks(total=1200, busy=650, ours=200)
    assert share_of_others(before, after) == pytest.approx(0.25)
    assert share_of_others(before, before) is None
    assert share_of_others(None, after) is None


def test_a_loaded_machine_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 99.0, 99.0))
    with pytest.raises(LoadedError):
        quiet.check(seconds=0)
    assert main(["--json", str(tmp_path / "out.json")]) == 2
    assert "refusing to measure: the load average is 99.00" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
