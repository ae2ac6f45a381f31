"""`mimi tasks`, `versions`, `alias`, `rollback` and `delete`, against a real server, through a task's whole life."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters_store import digest, unpack
from adapters_store.bundled import bundled_tasks
from mimi.cli import main
from mimi.demo.server import Server
from training.export import with_metrics


class Person:
    """Types commands at one server, and reads what they print."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url, self._capsys = url, capsys

    def types(self, *words: str, status: int = 0) -> str:
        """The output of a command; that on standard error if it fails."""
        assert main([*words, "--url", self._url]) == status
        out, err = self._capsys.readouterr()
        return err if status else out

    def reads(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON document of a command."""
        return json.loads(self.types(*words, "--json"))


@pytest.fixture
def person(server: Server, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(server.url, capsys)


@pytest.fixture
def files(trained: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two versions of one task."""
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(with_metrics(trained.read_bytes(), {"test_top1": 0.75}))
    return trained, newer


def test_a_task_is_published_split_rolled_back_and_deleted(
    person: Person, files: tuple[Path, Path], tmp_path: Path
) -> None:
    older, newer = files
    person.types("publish", str(older), "--task", "life")
    person.types("publish", str(newer), "--task", "life", "--no-activate")
    assert [each["aliases"] for each in person.reads("versions", "life")["versions"]] == [[], ["live"]]

    out = tmp_path / "downloaded.safetensors"
    told = person.types("versions", "life", "2", "--out", str(out))
    assert out.read_bytes() == newer.read_bytes()
    assert "test_top1 0.75" in told
    assert digest(newer.read_bytes()) in person.types("versions", "life")

    assert "1=90% 2=10%" in person.types("alias", "life", "live", "1=90%", "2=10%")
    assert person.reads("alias", "life")[0]["weights"] == {"1": 0.9, "2": 0.1}
    (row,) = (line for line in person.types("tasks").splitlines() if line.startswith("life "))
    assert "1=90% 2=10%" in row
    person.types("alias", "life", "live", "2")
    assert person.types("rollback", "life") == "life: live points at 1=90% 2=10%\n"
    assert person.reads("rollback", "life")["weights"] == {"2": 1.0}
    assert "points at" in person.types("alias", "life", "live")

    person.types("alias", "life", "stable", "1")
    assert "next:  `mimi versions TASK`" in person.types("delete", "life", "1", "--yes", status=1)
    assert person.reads("alias", "life", "stable", "--delete")["deleted"] == "stable"
    assert person.types("delete", "life", "1", "--yes") == "deleted: version 1 of life\n"
    assert person.types("delete", "life", "--yes") == "deleted: life with all 1 versions\n"
    assert "next:  `mimi tasks` lists" in person.types("tasks", "life", status=1)


def test_the_tasks_of_a_server_are_a_table_and_a_document(person: Person) -> None:
    lines = person.types("tasks").splitlines()
    assert lines[0].split()[:3] == ["task", "state", "live"]
    assert any(line.split()[:3] == ["digits", "ready", "1"] for line in lines)
    assert lines[-1].endswith("127.0.0.1:" + lines[-1].rpartition(":")[2])
    assert "digits" in {task["task"] for task in person.reads("tasks")["tasks"]}
    assert {task["task"] for task in person.reads("tasks", "--prefix", "digits-p")["tasks"]} == {"digits-parity"}


def test_one_task_shows_its_neurons(person: Person) -> None:
    out = person.types("tasks", "digits")
    assert "trunk    0  ·  removed" in out
    first = unpack(bundled_tasks()["digits"]).manifest.live_sites[0]
    assert f"{first}  ████" in out
    assert person.reads("tasks", "digits")["labels"] == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    "words",
    [
        ("alias", "digits", "live", "one"),
        ("alias", "digits", "live", "1", "2"),
        ("alias", "digits", "--delete"),
        ("versions", "digits", "--out", "x"),
        ("tasks", "digits", "--certificate-key", "x"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(person: Person, words: tuple[str, ...]) -> None:
    assert person.types(*words, status=2).startswith("error: ")


def test_nothing_is_deleted_without_a_yes(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--yes deletes digits with all 1 versions" in person.types("delete", "digits", status=2)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda *_: "n\n", raising=False)
    assert "nothing was done" in person.types("delete", "digits", status=1)
    assert "digits" in {task["task"] for task in person.reads("tasks")["tasks"]}


def test_the_address_can_come_from_a_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIMI_URL", server.url + "/")
    assert main(["tasks"]) == 0
    assert capsys.readouterr().out.endswith(f" at {server.url}\n")
    assert main(["config"]) == 0  # the variable is no unknown setting to a server


def test_publishing_is_a_document_for_programs(person: Person, trained: Path) -> None:
    answer = person.reads("publish", str(trained), "--task", "documented", "--dry-run")
    assert (answer["created"], answer["dry_run"]) == (True, True)
    assert answer["checks"][-1]["name"] == "golden sample"
