"""`mimi bench`: figures of this machine and of a real server, whatever they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from mimi.cli import main
from mimi.demo.server import Server
from tests.training.data.trees import png


def figures(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["bench", *words, "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    for row in rows:
        assert row["per_second"] > 0
        assert 0 < row["median_ms"] <= row["p95_ms"] <= row["p99_ms"]
    return rows


def test_an_engine_here_is_measured_alone_and_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "grey.png"
    image.write_bytes(png())
    words = ["digits", "gtsrb", "--seconds", "0.05", "--batches", "1,4", "--image", str(image)]
    rows = figures(capsys, *words)
    assert [(row["what"], row["batch"]) for row in rows] == [
        ("task digits", 1),
        ("task digits", 4),
        ("2 tasks mixed", 4),
    ]


def test_a_server_is_measured_with_several_clients(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = figures(capsys, "digits", "--url", server.url, "--seconds", "0.5", "--concurrency", "2")
    assert row["what"] == f"1 tasks of {server.url}"
    assert (row["failed"], row["calls"] > 0) == (0, True)


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "digits", "--seconds", "0.05", "--batches", "2"]) == 0
    titles, _, row = capsys.readouterr().out.splitlines()
    assert titles.startswith("what")
    assert row.startswith("task digits")


def test_a_measurement_of_nothing_is_wrong_usage() -> None:
    assert main(["bench", "--seconds", "0"]) == 2
    assert main(["bench", "--batches", "0"]) == 2
