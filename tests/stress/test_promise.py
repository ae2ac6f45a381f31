"""Results of processes, tests and tools count only at the promised size; a fault in the sampler of mutants shows."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.stress import flat, mutants, promise
from tests.stress.checks import CHECKS
from tests.stress.mutants import MIRRORED, ROOT

SOURCE = """
def check(value: int = 3) -> bool:
    if value < 0 or value in (1, 2):
        raise ValueError("text")
    return not value == b"a"
"""


def run() -> dict[str, Any]:
    """A run at full size in which everything went well."""
    checks = {name: {"passed": 9, "failed": 0, "skipped": 0, "examples": 100_000} for name in CHECKS}
    fault = {"noticed_s": 0.1, "ready_again_s": 9.0, "status": 503, "same_answers": True}
    modules = {str(number): {"possible": 90, "killed": ["x"] * 18, "survived": ["y"] * 2} for number in range(7)}
    return {
        "flat": {"requests": 1_000_000, "slope_mib_per_10000": 0.1, "growth_mib": 9.0},
        "supervised": {"tasks": 1000, "harm": 0, "faults": {"lost": fault, "hung": fault}},
        "exact": {"toll": {"answers": 9, "swaps": 2, "wrong": 0, "worst_difference": 1e-6}},
        "checks": checks,
        "corpus": {str(number): {"refused": True, "leaks": False} for number in range(50)},
        "mutants": {"modules": modules, "commit": "c"},
    }


FIGURES = (promise.memory, promise.disk, promise.engine, promise.exact, promise.access, promise.bite)


def test_a_full_run_reaches_all_of_them_and_an_empty_one_none() -> None:
    assert [figure(run()).reached for figure in FIGURES] == [True] * len(FIGURES)
    assert [figure({}).reached for figure in FIGURES] == [None] * len(FIGURES)
    assert promise.supply(run()).smaller


@pytest.mark.parametrize(
    ("figure", "path", "value"),
    [
        (promise.memory, ("flat", "slope_mib_per_10000"), 1.5),
        (promise.disk, ("checks", "disk", "failed"), 1),
        (promise.disk, ("checks", "disk", "skipped"), 1),
        (promise.engine, ("supervised", "faults", "hung", "ready_again_s"), 16.0),
        (promise.exact, ("exact", "toll", "worst_difference"), 1e-4),
        (promise.access, ("corpus", "7", "leaks"), True),
        (promise.bite, ("mutants", "modules", "3", "survived"), ["y"] * 40),
    ],
)
def test_what_was_not_shown_is_not_reached(figure: Any, path: tuple[str, ...], value: object) -> None:  # noqa: ANN401
    bad = run()
    place: Any = bad
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    found = figure(bad)
    assert found.reached is False
    assert not found.smaller


def test_mutants_differ_from_the_source_in_what_runs_and_in_nothing_else() -> None:
    found = mutants.mutants("x.py", SOURCE)
    texts = {ast.unparse(mutant.tree) for mutant in found}
    assert len(texts) == len(found) > 8
    assert ast.unparse(ast.parse(SOURCE)) not in texts
    assert all(("value: int" in text and "-> bool" in text and "'text'" in text) or "pass" in text for text in texts)
    for change in ("value <= 0", "value < 0 and", "not in (1, 2)", "pass", "return None", "b'a\\x01'", "int=4"):
        assert any(change in text.replace(" = 4", "=4") for text in texts), change


def test_a_mutant_that_tests_notice_is_killed_and_the_source_as_it_is_lives(tmp_path: Path) -> None:
    module = "adapters_store/limits.py"
    broken = mutants.Mutant(module, 1, "", "", ast.parse("raise ValueError"))
    test = tmp_path / "test_it.py"
    test.write_text(
        "from adapters_store.limits import DEFAULT_LIMITS\ndef test_it() -> None:\n    assert DEFAULT_LIMITS\n"
    )
    assert mutants.fails([str(test)], broken, 60.0)
    assert not mutants.fails([str(test)], None, 60.0)


def test_modules_and_their_tests_are_there() -> None:
    files = [*MIRRORED, *(test for tests in (*MIRRORED.values(), *CHECKS.values()) for test in tests)]
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_slope_leaves_the_warm_up_out() -> None:
    samples = [[1000.0 * number, 100.0 + (0.2 * number if number > 20 else 5 * number)] for number in range(100)]
    assert flat.slope(samples[21:]) == pytest.approx(2.0)
    assert flat.slope([[1000.0 * number, 500.0 if number < 20 else 100.0] for number in range(100)]) == pytest.approx(0)
