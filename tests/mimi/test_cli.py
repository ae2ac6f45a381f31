"""Finding a command, and telling what went wrong."""

import subprocess
import sys
from argparse import Namespace
from importlib.metadata import version

import pytest

from mimi.cli import INTERRUPTED, main
from mimi.commands import COMMANDS, inspect
from mimi.errors import UnreadableFile


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def run(_options: Namespace) -> int:
        raise error

    monkeypatch.setattr(inspect, "run", run)
    return main(["inspect", "file"])


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"    {name} " in out for name in COMMANDS)


def test_the_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"mimi {version('mimi-serving')}\n"


def test_it_is_a_module_too_as_torchrun_starts_it() -> None:
    command = [sys.executable, "-m", "mimi", "--version"]
    assert subprocess.check_output(command, text=True) == f"mimi {version('mimi-serving')}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["inspect"], ["inspect", "f", "--jso"], ["serve", "extra"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_a_domain_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(monkeypatch, UnreadableFile("file: is a folder")) == 1
    assert capsys.readouterr().err == "error: file: is a folder\n"


def test_a_bug_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        failing(monkeypatch, ZeroDivisionError())


def test_an_interrupt_ends_as_a_shell_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch, KeyboardInterrupt()) == INTERRUPTED


def test_help_needs_nothing_heavy() -> None:
    script = "import sys, mimi.cli; sys.exit(bool({'torch', 'numpy', 'fastapi', 'pyarrow'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True)
