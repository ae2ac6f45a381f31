"""`mimi publish`, against a real server."""

from pathlib import Path

import pytest

from adapters_store import digest
from mimi.cli import main
from mimi.demo.server import Server


def test_a_file_becomes_a_live_task(server: Server, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sha256 = digest(trained.read_bytes())
    assert main(["publish", str(trained), "--task", "published", "--url", server.url]) == 0
    out = capsys.readouterr().out
    assert f"\npublished version 1 (new, and is live)  sha256 {sha256}\n" in out
    assert "passed   golden sample  logits differ by " in out
    assert "passed   checksum\n" in out
    assert main(["publish", str(trained), "--task", "published", "--url", server.url]) == 0
    assert "\npublished version 1 (was there already, and is live)" in capsys.readouterr().out


def test_a_dry_run_and_a_version_that_is_not_live_say_so(
    server: Server, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["publish", str(trained), "--task", "quiet", "--url", server.url]
    for option, said in (
        ("--dry-run", "(would be new; nothing was published)"),
        ("--no-activate", "(new, and not live)"),
        ("--dry-run", "(is there already; nothing was published)"),
    ):
        assert main([*command, option]) == 0
        out = capsys.readouterr().out
        assert said in out
        assert "ask it" not in out


def test_the_task_is_named_after_the_file(server: Server, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(trained), "--url", server.url + "/"]) == 0
    assert f"{server.url}/v1/tasks/pets/predict" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["adapter.safetensors", "size-2.safetensors"])
def test_the_files_of_a_run_are_named_after_their_data_set(
    server: Server, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    copy = tmp_path / name
    copy.write_bytes(trained.read_bytes())
    assert main(["publish", str(copy), "--dry-run", "--url", server.url]) == 0
    assert "\nimages version 1 (" in capsys.readouterr().out


def test_what_the_server_refuses_is_one_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"not a task adapter, by far")
    assert main(["publish", str(path), "--url", server.url]) == 1
    assert capsys.readouterr().err.startswith("error: PUT /v1/tasks/bad: 4")
