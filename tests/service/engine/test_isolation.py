"""A row that cannot be computed fails alone, however many ride with it."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from service.engine import Engine, EngineLost, Resident, Row, RowFailed, RowResult
from service.engine.errors import OutOfMemory
from service.engine.worker import run_isolated
from tests.service.engine.gate import Picture


class Scarce:
    """A real engine with memory for only so many rows; counts its forward passes."""

    def __init__(self, engine: Engine, room: int, error: Callable[[str], Exception] = MemoryError) -> None:
        self.engine, self.room, self.error, self.passes = engine, room, error, 0

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        self.passes += 1
        if len(rows) > self.room:
            raise self.error(f"{len(rows)} rows")
        return self.engine.run(rows)


@pytest.fixture
def rows(residents: list[Resident], pixels: Picture) -> list[Row]:
    return [Row(residents[i % 3], pixels(i)) for i in range(8)]


@pytest.mark.parametrize("poisoned", [{0}, {7}, {3, 4}, {0, 1, 2, 3, 4, 5, 6, 7}])
def test_only_poisoned_rows_fail_and_the_others_keep_their_places(
    engine: Engine, rows: list[Row], poisoned: set[int]
) -> None:
    expected = engine.run(rows)
    broken = [Row(row.resident, row.pixels[:9]) if i in poisoned else row for i, row in enumerate(rows)]
    for i, outcome in enumerate(run_isolated(engine, broken)):
        if isinstance(outcome, RowFailed):
            assert i in poisoned
            assert isinstance(outcome.__cause__, ValueError)
        else:
            assert i not in poisoned
            np.testing.assert_allclose(outcome.logits, expected[i].logits, atol=1e-5)


def test_a_good_batch_is_computed_once(engine: Engine, rows: list[Row]) -> None:
    scarce = Scarce(engine, room=8)
    assert len(run_isolated(scarce, rows)) == 8
    assert scarce.passes == 1


def test_a_batch_that_does_not_fit_into_memory_is_answered_in_halves(engine: Engine, rows: list[Row]) -> None:
    scarce = Scarce(engine, room=4)
    outcomes = run_isolated(scarce, rows)
    assert all(isinstance(outcome, RowResult) for outcome in outcomes)
    assert scarce.passes == 3


@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory: 9 bytes", "CUDA out of memory."])
def test_a_batch_whose_halves_do_not_fit_either_is_given_up(engine: Engine, rows: list[Row], words: str) -> None:
    scarce = Scarce(engine, room=2, error=lambda _: RuntimeError(words))
    outcomes = run_isolated(scarce, rows)
    assert all(isinstance(outcome, OutOfMemory) for outcome in outcomes)
    assert len(outcomes) == 8
    assert scarce.passes == 3


def test_a_lost_device_is_not_tried_row_by_row(engine: Engine, rows: list[Row]) -> None:
    scarce = Scarce(engine, room=0, error=EngineLost)
    with pytest.raises(EngineLost):
        run_isolated(scarce, rows)
    assert scarce.passes == 1
