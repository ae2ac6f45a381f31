"""The kill benchmark notices harm, and writes down what it found."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import open_store
from adapters_store.opening import open_backend
from tests.stress.kill_victim import TASK
from tests.stress.kills import Report, examine, main, schedule


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with one version."""
    with closing(open_store(f"file://{tmp_path}/store")) as store:
        store.publish(TASK, b"one")
    return f"file://{tmp_path}/store"


def test_a_version_that_was_acknowledged_but_is_not_there_is_lost(url: str) -> None:
    report = Report()
    examine(url, {1: "ab" * 32, 2: "cd" * 32}, 0, report)
    assert (report.lost, report.harm) == (2, 2)


def test_a_version_that_cannot_be_read_is_torn(url: str) -> None:
    with closing(open_backend(url)) as backend:
        (blob,) = backend.list("blobs")
        backend.delete(blob.name)
        backend.create(blob.name, b"on")
    report = Report()
    examine(url, {}, 0, report)
    assert (report.torn, report.harm) == (1, 1)


def test_more_than_the_one_version_on_its_way_is_extra(url: str) -> None:
    with closing(open_store(url)) as store:
        store.publish(TASK, b"two")
    report = Report()
    examine(url, {}, 0, report)
    assert (report.extra, report.harm) == (1, 1)


def test_half_of_the_deaths_are_at_every_step_in_turn() -> None:
    assert schedule(6) == [1, 0, 2, 0, 3, 0]


def test_the_benchmark_writes_json_and_finds_no_harm(tmp_path: Path) -> None:
    assert main(["--count", "3", "--json", str(tmp_path / "kills.json")]) == 0
    result = json.loads((tmp_path / "kills.json").read_text())
    assert {result[home]["kills"] for home in ("sqlite", "folder")} == {3}
