"""The benchmark of tiers measures what it says, on a small store."""

import json
from pathlib import Path

import pytest

from benchmarks.studies import residency


def test_a_small_run_has_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(residency, "QUICK_SIZES", (1, 20))
    assert residency.main(["--quick", "--json", str(tmp_path / "figures.json")]) == 0
    found = json.loads((tmp_path / "figures.json").read_text())
    assert json.loads(capsys.readouterr().out) == found
    assert [each["tasks"] for each in found["starts"]] == [1, 20]
    assert {source: each["count"] for source, each in found["loads"].items()} == {"store": 20, "memory": 20}
    assert found["resident"]["adapter_bytes"] > 0
    assert found["kept"]["s3fifo"]["working_set_after_a_scan"] > 0.97
    assert found["kept"]["s3fifo"]["working_set_one_too_large"] > 0.8
    assert set(found["kept"]["lru"].values()) == {0.0}
