"""`mimi store`: checks, repairs, copies, backups, each by the command that a person types."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import open_store
from adapters_store.opening import open_backend
from adapters_store.recovery import entry_name
from mimi.cli import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two versions of one task."""
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        store.publish("cat", b"one")
        store.publish("cat", b"two")
    return tmp_path / "store.db"


def spoil(path: Path, name: str) -> None:
    with closing(open_backend(str(path))) as backend:
        backend.replace(name, b"rotten")


def test_a_sound_store_is_told_in_two_lines(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "generation 2: 1 tasks, 2 versions, 0 blobs without a version",
        "everything can be read",
    ]
    assert main(["store", "repair", str(path)]) == 0
    assert "nothing to repair" in capsys.readouterr().out


def test_damage_is_named_and_repaired(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(path, entry_name(2))
    assert main(["store", "check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "unreadable: log/000000000002.json" in out
    assert "run `mimi store repair`" in out
    assert main(["store", "repair", str(path)]) == 0
    assert "takes changes again" in capsys.readouterr().out
    assert main(["store", "check", str(path)]) == 0


def test_a_rotten_version_is_named_for_programs_and_people(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_store(str(path))) as store:
        blob = store.snapshot().tasks["cat"].versions[1].blob
    spoil(path, blob)
    assert main(["store", "check", str(path)]) == 1
    assert "publish the same files again" in capsys.readouterr().out
    assert main(["store", "check", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["sound"], report["log"], report["blobs"][0]["where"]) == (False, [], "cat version 1")


def test_a_backup_goes_out_and_back(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backup = tmp_path / "backup"
    assert main(["store", "backup", str(path), str(backup)]) == 0
    with closing(open_store(str(path))) as store:
        store.delete_task("cat")
    assert main(["store", "restore", str(backup), str(path)]) == 0
    assert main(["store", "copy", str(path), f"file://{tmp_path}/copy"]) == 0
    assert main(["store", "verify", str(path), f"file://{tmp_path}/copy"]) == 0
    with closing(open_store(str(path))) as store:
        store.publish("dog", b"another")
    assert main(["store", "verify", f"file://{tmp_path}/copy", str(path)]) == 1
    assert "this is no copy of the store" in capsys.readouterr().out
    with closing(open_store(f"file://{tmp_path}/copy")) as store:
        assert set(store.snapshot().tasks["cat"].versions) == {1, 2}
    assert main(["store", "backup", str(path), str(backup)]) == 1
    assert "already" in capsys.readouterr().err


def test_a_store_that_is_not_there_is_one_line_and_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.db"
    assert main(["store", "check", str(path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: there is no store at {path}",
        "next:  `mimi store --help` says how a store is named",
    ]


def test_the_actions_are_listed_and_each_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "--help"]) == 0
    out = capsys.readouterr().out
    for action in ("check", "repair", "copy", "backup", "restore"):
        assert f"  {action} " in out
        assert main(["store", action, "--help"]) == 0
        assert f"Usage: mimi store {action} " in capsys.readouterr().out
