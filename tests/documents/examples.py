"""Runs the examples of a document in their order: in one shell, in an empty folder, beside a real server.

    ```sh                       is run; a block that begins with `mimi serve` goes on in the background, until another
                                block begins so
    ```text                     what the block before printed holds these lines, in this order; `…` stands for anything
    ```python title="NAME"      is written to that file
    ```python                   is run as a program
    ```console                  is only read: what installs, builds images, or needs another machine

The documents say port 8000, and 8001 for gRPC. Free ones are taken in their place.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(sh|text|python)(?: title="([\w.]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_MARK = "--- example"
_SECONDS = 560
_START = """\
set -euo pipefail
port=$MIMI_PORT
serving=
ends() { kill -INT $server; wait $server || true; }
serves() {
    [ "$serving" != "$*" ] || return 0
    [ -z "$serving" ] || ends
    serving="$*"
    (unset "${!MIMI_@}"; MIMI_PORT=$port exec "$@") > server.log 2>&1 & server=$!  # a terminal of its own
    trap ends EXIT
    until curl -sf -o /dev/null "$MIMI_URL/health/ready"; do
        kill -0 $server || { cat server.log; exit 1; }
        read -rt 0.1 <> <(:) || true
    done
}
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One block of a document: its language, the file it is for, and its text."""

    language: str
    file: str
    text: str


def examples(document: Path) -> list[Example]:
    """The blocks that are run, or that say what is printed."""
    text = document.read_text(encoding="utf-8")
    return [Example(block[1], block[2] or "", block[3]) for block in _BLOCK.finditer(text)]


def run(blocks: Sequence[Example], folder: Path) -> None:
    """Run the blocks in `folder`.

    Raises:
        AssertionError: a command failed, or printed something else than the document says.
    """
    port, grpc = _free_port(), _free_port()
    blocks = [replace(block, text=_with_ports(block.text, port, grpc)) for block in blocks]
    script = folder / "examples.sh"
    script.write_text(_START + "\n".join(_commands(blocks)), encoding="utf-8")
    printed = _printed(script, _environment(folder, port)).split(_MARK)
    for number, block in enumerate(blocks):
        if block.language == "text":
            before = printed[number - 1]  # of the block before; a mark stands behind each
            assert re.search(_pattern(block.text), before), f"{block.text}\nis not in\n{before}"


def _with_ports(text: str, http: int, grpc: int) -> str:
    return text.replace(":8000", f":{http}").replace(":8001", f":{grpc}").replace("-port 8001", f"-port {grpc}")


def _printed(script: Path, environment: Mapping[str, str]) -> str:
    """Run the script and return its output; nothing that it started goes on afterwards."""
    process = subprocess.Popen(
        ["bash", str(script)],
        cwd=script.parent,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        printed, errors = process.communicate(timeout=_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, f"{printed[-2000:]}\n{errors[-3000:]}"
    return printed


def _commands(blocks: Sequence[Example]) -> Iterator[str]:
    """The commands of each block, and a mark behind them."""
    for block in blocks:
        if block.language == "sh":
            yield f"serves {block.text}" if block.text.startswith("mimi serve") else block.text
        elif block.language == "python":
            text = f"cat > {block.file or 'example.py'} <<'END OF FILE'\n{block.text}END OF FILE\n"
            yield text if block.file else f"{text}python example.py"
        yield f"printf '%s' {shlex.quote(_MARK)}"


def _pattern(text: str) -> str:
    lines = (".*".join(map(re.escape, line.split("…"))) for line in text.strip().splitlines())
    return r"(?s:.*?)".join(lines)


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Our own environment without settings, with the commands `mimi` and `python` of this checkout."""
    programs = folder / "bin"
    programs.mkdir()
    for name, command in {"mimi": '-m mimi "$@"', "python": '"$@"'}.items():
        (programs / name).write_text(f"#!/bin/sh\nexec {sys.executable} {command}\n")
        (programs / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MIMI_PORT": str(port),
        "MIMI_URL": f"http://127.0.0.1:{port}",
        "NO_COLOR": "1",
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
