"""The soak passes on the real engine, and notices a wrong answer, growing memory and an error."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from backbone import load_backbone
from service.engine import RowResult
from tests.stress.soak import Outcome, Soak, main


def result(logits: np.ndarray) -> RowResult:
    return RowResult(logits, np.zeros(1, np.float32), flops_spent=0, flops_saved=0, flops_shared=0)


def test_a_short_soak_swaps_cancels_and_finds_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "soak.json"
    status = main(["--json", str(out), "--minutes", "0.05", "--tasks", "12", "--threads", "1"])
    told = json.loads(out.read_text(encoding="utf-8"))
    assert (status, told["failed"]) == (0, False), told["toll"]
    assert told["toll"]["answers"] > 0
    assert told["toll"]["swaps"] > 0
    assert "passed" in capsys.readouterr().out


def test_a_task_that_answers_as_another_is_caught() -> None:
    outcome = Outcome()
    soak = Soak(load_backbone(), 2, outcome)
    soak.table = [type(a)(b.resident, a.answers) for a, b in zip(soak.table, soak.table[::-1], strict=True)]
    asyncio.run(asked(soak, times=20))
    assert outcome.wrong == outcome.answers > 0
    assert outcome.failed


async def asked(soak: Soak, *, times: int) -> None:
    """Without swaps, which would put a task back in its place."""
    soak.batcher.start()
    for _ in range(times):
        await soak.ask()
    await soak.batcher.drain(60.0)


def test_answers_are_counted_wrong_beyond_the_tolerance_and_when_not_finite() -> None:
    outcome, expected = Outcome(), np.ones(3, np.float32)
    for logits in (expected, expected + 5e-5, expected + 1e-3, expected * np.nan):
        outcome.check(result(logits), expected)
    assert (outcome.answers, outcome.wrong) == (4, 2)


@pytest.mark.parametrize(
    ("sizes", "failed"), [([100] * 8, False), ([100] * 6 + [103] * 2, True), ([90] * 2 + [100] * 6, False)]
)
def test_memory_that_grows_after_the_beginning_fails(sizes: list[int], failed: bool) -> None:
    assert Outcome(answers=1, resident_bytes=sizes).failed is failed


def test_errors_and_leftovers_fail() -> None:
    assert not Outcome(answers=1).failed
    assert Outcome(answers=0).failed
    assert Outcome(answers=1, lingering=1).failed
    outcome = Outcome(answers=1, errors={"ValueError: x": 1})
    assert outcome.failed
    assert json.loads(json.dumps(asdict(outcome)))["errors"] == outcome.errors
