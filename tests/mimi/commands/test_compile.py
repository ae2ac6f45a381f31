"""`mimi compile`: a library for each level that was asked for, where a server looks for it."""

from pathlib import Path

import pytest

from backbone.kernels import PLAIN, level, path_in
from mimi.cli import main


def test_it_makes_what_this_machine_uses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{path_in(tmp_path)}\n"
    assert path_in(tmp_path).is_file()


def test_it_makes_several_levels_for_machines_that_are_not_known_yet(tmp_path: Path) -> None:
    assert main(["compile", "--folder", str(tmp_path), "--level", f"{level()},{PLAIN}"]) == 0
    assert len(list(tmp_path.glob("*.so"))) == len({level(), PLAIN})


def test_without_a_compiler_it_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["compile", "--folder", str(tmp_path / "kernels")]) == 1
    assert "apt install g++" in capsys.readouterr().err
