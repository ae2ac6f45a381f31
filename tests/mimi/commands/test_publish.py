"""`mimi publish`, against a real server."""

from pathlib import Path

import pytest

from adapters_store import digest
from mimi.cli import main
from mimi.demo.server import Server


def test_a_file_becomes_a_live_task(server: Server, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sha256 = digest(trained.read_bytes())
    assert main(["publish", str(trained), "--task", "published", "--url", server.url]) == 0
    assert capsys.readouterr().out.startswith(f"published version 1 (new)  sha256 {sha256}\n")
    assert main(["publish", str(trained), "--task", "published", "--url", server.url]) == 0
    assert capsys.readouterr().out.startswith("published version 1 (was there already")


def test_the_task_is_named_after_the_file(server: Server, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(trained), "--url", server.url + "/"]) == 0
    assert f"{server.url}/v1/tasks/pets/predict" in capsys.readouterr().out


def test_what_the_server_refuses_is_one_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"not a task adapter, by far")
    assert main(["publish", str(path), "--url", server.url]) == 1
    assert capsys.readouterr().err.startswith("error: PUT /v1/tasks/bad: 4")
