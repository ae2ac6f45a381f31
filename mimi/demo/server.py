"""A real server in a process of its own, which runs as long as a `with` block.

Talks to the server over HTTP only. The server writes into a log file; if it fails, the end of the log is shown.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mimi.client import Client
from mimi.errors import ServerFailed

HOST = "127.0.0.1"
START_SECONDS = 300.0  # a busy machine may need minutes to import PyTorch
STOP_SECONDS = 40.0  # more than the server's own time to drain
_POLL_SECONDS = 0.1
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Server:
    """A server that takes work, and where it writes its log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def wait(self) -> None:
        """Block until the server ends by itself.

        Raises:
            ServerFailed: always, because a server should not end by itself.
        """
        self.process.wait()
        raise ServerFailed(f"the server ended by itself; its log ends with:\n{_tail(self.log)}")


@contextmanager
def running_server(folder: Path, *, port: int = 0, options: Sequence[str] = ()) -> Iterator[Server]:
    """Start a server over a new store in `folder`, with more options of `mimi serve`, and stop it at the end.

    Raises:
        ServerFailed: the port is taken, or the server did not get ready.
    """
    port = _free_port(port)
    log = folder / "server.log"
    command = [sys.executable, "-m", "mimi", "serve", "--host", HOST, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--store", str(folder / "store.db"), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith("MIMI_")},
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops the server once
        )
    server = Server(process, f"http://{HOST}:{port}", log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        _stop(process)


def _free_port(wanted: int) -> int:
    """`wanted`, or a free port if it is 0. If it is taken, this fails here, and no other server is asked by mistake."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except (OSError, OverflowError) as error:
            raise ServerFailed(f"port {wanted} cannot be used: {error}") from error
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Client(server.url) as client:
        while not client.ready():
            if time.monotonic() > deadline:
                raise ServerFailed(f"the server was not ready in {START_SECONDS:g} s:\n{_tail(server.log)}")
            if _ended(server.process):
                raise ServerFailed(f"the server did not start; its log ends with:\n{_tail(server.log)}")


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process ends within a moment."""
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:]) or "    (empty)"
