"""`mimi inspect`."""

import json
from pathlib import Path

import pytest

from adapters_store import digest
from mimi.cli import main


def test_a_file_is_described_for_people(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(trained)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if len(line.split()) > 1)
    assert lines["labels"] == "ant cat"
    assert lines["sha256"] == digest(trained.read_bytes())


def test_a_file_is_described_for_programs(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(trained), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["labels"], facts["cycles"], facts["bytes"]) == (["ant", "cat"], 2, trained.stat().st_size)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", bytes(100)])
def test_what_is_no_task_adapter_is_one_line(tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
