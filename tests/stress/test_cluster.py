"""Ray Serve on a real cluster of this machine: it grows with the queue, and loses nothing with a replica."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.stress.cluster import Attempt, Log, verdict
from tests.stress.wire import ROOT

pytestmark = pytest.mark.timeout(600)  # five replicas import torch, which takes its time on a busy machine


def test_replicas_grow_die_and_are_updated_under_load_and_nothing_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.stress", "cluster", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["failed"], found["attempts_failed_otherwise"], found["uploads_lost"]) == ({}, 0, 0)
    assert found["uploads_acknowledged"] > 0
    assert found["answered_during_the_update"] > 0


def test_every_kind_of_harm_is_counted() -> None:
    log = Log([Attempt(0, 1, 200), Attempt(1, 3, 503), Attempt(1, 2.5, 0), Attempt(2.1, 3, 500), Attempt(0, 1, 503)])
    log.failed, log.acknowledged = Counter({"Overloaded": 1}), [(1, "a"), (2, "b")]
    found = verdict(log, 2.0, 4.0, {(1, "a"), (2, "c")})
    assert (found["attempts_failed_in_flight"], found["attempts_failed_otherwise"]) == (2, 2)
    assert (found["uploads_lost"], found["harm"]) == (1, 1 + 2 + 1)
    assert verdict(Log([Attempt(5, 6, 200)]), 2.0, 4.0, set())["answered_during_the_update"] == 1
