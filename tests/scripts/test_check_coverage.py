"""The coverage gates."""

import json
from pathlib import Path

import pytest

from scripts.check_coverage import main


def report(tmp_path: Path, branches: dict[str, tuple[int, int]]) -> list[str]:
    files = {
        name: {"summary": {"covered_branches": taken, "num_branches": there}}
        for name, (taken, there) in branches.items()
    }
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"files": files}))
    return [str(path)]


def test_gates_that_are_met_pass(tmp_path: Path) -> None:
    assert main(report(tmp_path, {"adapters_store/store.py": (95, 100), "service/app.py": (90, 100)})) == 0


@pytest.mark.parametrize("store", [(94, 100), (0, 0)])
def test_the_store_has_a_gate_of_its_own(tmp_path: Path, store: tuple[int, int]) -> None:
    assert main(report(tmp_path, {"adapters_store/store.py": store, "service/app.py": (1000, 1000)})) == 1


def test_the_whole_has_a_gate(tmp_path: Path) -> None:
    assert main(report(tmp_path, {"adapters_store/store.py": (10, 10), "service/app.py": (80, 100)})) == 1
