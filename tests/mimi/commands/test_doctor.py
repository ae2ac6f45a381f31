"""`mimi doctor`: each thing that can be wrong with a machine is found, with the next step."""

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters_store import open_store
from adapters_store.opening import open_backend
from adapters_store.recovery import entry_name
from backbone import load_backbone
from backbone.kernels import best, path_in, precision_in_force
from mimi.cli import main
from mimi.demo.server import Server

Findings = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a store and a port of its own."""
    monkeypatch.chdir(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MIMI_PORT", str(probe.getsockname()[1]))


def findings(capsys: pytest.CaptureFixture[str], *words: str, status: int) -> Findings:
    assert main(["doctor", "--json", *(words or ("--no-speed",))]) == status
    document = json.loads(capsys.readouterr().out)
    assert document["sound"] is (status == 0)
    return {each["topic"]: each for each in document["findings"]}


def test_a_sound_machine_is_told_so_and_its_kernels_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, "--speed", status=0)
    assert {"python", "packages", "pytorch", "cuda", "backbone", "onnx runtime", "store", "port"} <= found.keys()
    assert found["speed"]["detail"].count(" ms") == 2
    assert "makes one" in found["store"]["detail"]
    assert list(Path().iterdir()) == []  # it changes nothing


def test_people_read_a_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--no-speed"]) == 0
    out = capsys.readouterr().out
    assert "ok     python " in out
    assert out.endswith("\nnothing is wrong\n")


def test_a_missing_compiler_is_no_fault_but_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = findings(capsys, status=0)
    assert found["compiler"]["verdict"] == "note"
    assert "apt install g++" in found["compiler"]["next_step"]
    assert (found["kernels"]["verdict"], found["kernels"]["next_step"]) == ("note", "mimi compile")


def test_a_library_that_does_not_load_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIMI_KERNELS_FOLDER", str(tmp_path))
    path_in(tmp_path).write_bytes(b"no library")
    found = findings(capsys, status=1)
    assert found["kernels"]["verdict"] == "wrong"
    assert found["kernels' folder"]["verdict"] == "ok"


@pytest.mark.parametrize("set_to", ["auto", "bf16"])
def test_the_precision_in_force_is_told_with_its_reason(
    set_to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = load_backbone()
    best(backbone, tmp_path, compiles=True)
    monkeypatch.setenv("MIMI_KERNELS_FOLDER", str(tmp_path))
    monkeypatch.setenv("MIMI_PRECISION", set_to)
    told = findings(capsys, status=0)["precision"]["detail"]
    if set_to == "auto":
        assert told == "{}, because {}".format(*precision_in_force(backbone, tmp_path))
    else:
        assert told == "bf16, as it is set"


def test_a_port_that_is_taken_is_found_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MIMI_PORT", str(silent.getsockname()[1]))
        found = findings(capsys, status=1)
    assert "choose another: --port" in found["port"]["next_step"]


def test_a_port_that_our_own_server_has_is_fine(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIMI_PORT", server.url.rpartition(":")[2])
    assert "a server of this project" in findings(capsys, status=0)["port"]["detail"]


def test_a_damaged_store_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    monkeypatch.setenv("MIMI_STORE", str(path))
    with closing(open_store(str(path))) as store:
        store.publish("cat", b"one")
        store.publish("cat", b"two")
    assert "everything can be read" in findings(capsys, status=0)["store"]["detail"]
    with closing(open_backend(str(path))) as backend:
        backend.replace(entry_name(2), b"rotten")
    assert findings(capsys, status=1)["store"]["next_step"] == f"mimi store check {path}"


def test_a_store_below_a_file_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIMI_STORE", str(tmp_path / "file" / "store.db"))
    assert "is not a folder" in findings(capsys, status=1)["store"]["detail"]


def test_settings_that_a_server_would_refuse_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mimi.toml").write_text("prot = 1")
    found = findings(capsys, "--no-speed", "--config", str(tmp_path / "mimi.toml"), status=1)
    assert "the nearest is port" in found["settings"]["detail"]
    assert found["settings"]["next_step"]


def test_a_package_that_is_missing_or_old_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: ["nosuchpackage>=1.0", "numpy>=9999", "torch>=2"])
    found = findings(capsys, status=1)["packages"]
    assert found["verdict"] == "wrong"
    assert found["next_step"].startswith("pip install --upgrade '")
