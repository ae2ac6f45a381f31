"""Starting and stopping a real server."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mimi.client import Client
from mimi.demo.server import HOST, Server, running_server
from mimi.errors import ServerFailed


def test_a_server_takes_work_inside_and_is_gone_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMI_NONSENSE", "settings of the surroundings do not reach it")
    with running_server(tmp_path) as server, Client(server.url) as client:
        assert client.ready()
    assert server.process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, int(server.url.rpartition(":")[2])))


def test_a_taken_port_is_not_asked(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"port {port} cannot be used"), running_server(tmp_path, port=port):
            pass


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="port 70000 cannot be used"), running_server(tmp_path, port=70000):
        pass


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(ServerFailed, match=r"(?s)did not start.*refusing to start: "), running_server(tmp_path):
        pass


def test_a_server_that_dies_ends_the_wait(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", "print('out of memory')"], stdout=output)
    with pytest.raises(ServerFailed, match=r"(?s)ended by itself.*out of memory"):
        Server(process, "", log).wait()
