"""Finding a command, and telling what went wrong."""

import os
import subprocess
import sys
from argparse import Namespace
from importlib.metadata import version

import pytest

from mimi.cli import CLOSED, INTERRUPTED, main
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


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_without_pytorch(name: str) -> None:
    code = f"""
import sys
from mimi.cli import main
try:
    main([{name!r}, "--help"])
except SystemExit:
    sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


TABLE = """
import sys
from mimi.commands import inspect
from mimi.cli import main
from mimi.table import Column, format_table
inspect.run = lambda options: print(format_table([Column("résumé")], [["─"]] * 100_000)) or 0
sys.exit(main(["inspect", "file"]))
"""


def test_a_locale_without_utf_8_shows_what_it_can() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", TABLE], env=environment, capture_output=True, check=True)
    assert done.stdout.startswith(b"r?sum?\n")


def test_a_reader_that_ends_first_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", TABLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.readline()
        started.stdout.close()
        assert started.stderr.read() == b""
    assert started.returncode == CLOSED


def test_an_interrupt_ends_as_a_shell_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch, KeyboardInterrupt()) == INTERRUPTED


def test_help_needs_nothing_heavy() -> None:
    script = "import sys, mimi.cli; sys.exit(bool({'torch', 'numpy', 'fastapi', 'pyarrow'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True)
