"""Finding a command, telling what went wrong, and the exit statuses that docs/cli.md promises."""

import os
import pty
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

import pytest

import mimi.files
from mimi.cli import CLOSED, COMMANDS, INTERRUPTED, main
from mimi.errors import UnreadableFile

SLOW = ("torch", "numpy", "pyarrow", "fastapi", "pydantic", "httpx2", "rich", "PIL", "service", "backbone")


def mimi_process(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`mimi` as a process of its own, without a terminal."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    command = [sys.executable, "-m", "mimi", *words]
    return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=False)


def on_a_terminal(*words: str, **variables: str) -> str:
    """The output of `mimi` on a terminal."""
    leader, follower = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    command = [sys.executable, "-m", "mimi", *words]
    environment = {**kept, "TERM": "xterm", **variables}
    with subprocess.Popen(command, env=environment, stdout=follower, stderr=follower) as child:
        os.close(follower)
        written = b""
        while piece := _read(leader):
            written += piece
        os.close(leader)
    assert child.returncode is not None
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody writes any more
        return b""


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def read(_path: Path) -> bytes:
        raise error

    monkeypatch.setattr(mimi.files, "read_file", read)
    return main(["inspect", "file"])


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: mimi {name} ")
    assert "-h, --help" in out


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_help_fits_the_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for name in COMMANDS:
        main([name, "--help"])
    lines = capsys.readouterr().out.splitlines()
    too_long = [line for line in lines if len(line) > min(100, int(columns)) and " " in line.strip()]
    assert [line for line in too_long if not line.startswith("Usage:") and not line.lstrip().startswith("--")] == []


def test_the_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mimi {version('mimi-serving')}\n"


def test_it_is_a_module_too_as_torchrun_starts_it() -> None:
    assert mimi_process("--version").stdout == f"mimi {version('mimi-serving')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage: mimi COMMAND"),
        (["fly"], "no such command 'fly'"),
        (["serv"], "no such command 'serv'; the nearest is serve"),
        (["inspect"], "missing argument 'FILE'"),
        (["inspect", "f", "--jso"], "there is no option --jso; the nearest is --json"),
        (["serve", "extra"], "extra"),
        (["serve", "--prot", "1"], "there is no option --prot; the nearest is --port"),
        (["store"], "Usage: mimi store COMMAND"),
        (["store", "chek", "x"], "the nearest is check"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_nearest(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.startswith("Usage: ") or err.splitlines()[-1].startswith("next:  mimi ")


def test_a_domain_error_is_one_line_and_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, UnreadableFile("file: is a folder")) == 1
    assert capsys.readouterr().err == "error: file: is a folder\nnext:  check the path, and who may read it\n"


def test_a_bug_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        failing(monkeypatch, ZeroDivisionError())


def test_an_interrupt_ends_as_a_shell_expects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, KeyboardInterrupt()) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("words", "slow"), [(["--help"], SLOW), (["--version"], SLOW), (["serv"], set(SLOW) - {"pydantic"})]
)
def test_help_and_errors_import_nothing_slow(words: list[str], slow: Collection[str]) -> None:
    code = f"""
import sys
from mimi.cli import main
main({words})
sys.exit(", ".join(sorted(set({tuple(slow)}) & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_s_help_answers_without_pytorch(name: str) -> None:
    code = f"import sys; from mimi.cli import main; main([{name!r}, '--help']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


TABLE = """
import sys
import mimi.commands.files
from mimi.cli import main
from mimi.terminal import Column, format_table
def inspect(): print(format_table([Column("résumé")], [["─"]] * 20_000)); return 0
mimi.commands.files.inspect = inspect
sys.exit(main(["inspect"]))
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


def test_escape_codes_go_to_a_terminal_only_and_not_where_no_color_is_set() -> None:
    assert "\x1b[" in on_a_terminal("--help")
    assert "\x1b[" in on_a_terminal("serv")
    assert "\x1b[" not in on_a_terminal("--help", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("serv", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("--help", TERM="dumb")
    piped = mimi_process("--help", FORCE_COLOR="1", GITHUB_ACTIONS="true")
    assert "\x1b[" not in piped.stdout + mimi_process("serv", GITHUB_ACTIONS="true").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_a_script_that_completes(shell: str) -> None:
    script = mimi_process(_MIMI_COMPLETE=f"source_{shell}").stdout
    assert f"_MIMI_COMPLETE=complete_{shell}" in script


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("mimi ser", {"serve"}),
        ("mimi store c", {"check", "copy"}),
        ("mimi predict digits x.png --form", {"--format"}),
        ("mimi predict digits x.png --format j", {"jsonl"}),
        ("mimi train digits --criterion act", {"activation"}),
        ("mimi serve --image-b", {"--image-bytes"}),
    ],
)
def test_words_are_completed(line: str, completed: set[str]) -> None:
    words = line.split()
    variables = {"_MIMI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    assert set(mimi_process(**variables).stdout.split()) == completed
