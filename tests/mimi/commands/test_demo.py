"""`mimi demo` as a process: what it leaves behind."""

import re
import signal
import socket
import subprocess
import sys

import pytest

from mimi.cli import main
from mimi.commands.demo import TERMINATED


def test_a_demo_that_is_terminated_takes_its_server_along() -> None:
    command = [sys.executable, "-u", "-m", "mimi", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(filter(None, (re.search(r"127\.0\.0\.1:(\d+) serves", line) for line in process.stdout)))
        process.send_signal(signal.SIGTERM)
        assert process.wait() == TERMINATED
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address[1])))


def test_a_data_set_that_is_not_there_is_said_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["demo", "--exit", "--data", "no/such/folder"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "no/such/folder: no such file or folder" in capsys.readouterr().err
