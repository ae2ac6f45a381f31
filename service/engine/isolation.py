"""Running a batch so that a row that cannot be computed fails alone."""

from collections.abc import Sequence
from typing import Protocol

from service.engine.core import Row, RowResult
from service.engine.errors import EngineLost, RowFailed


class Runner(Protocol):
    """What computes a batch: an engine."""

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer all rows, in order, or raise."""
        ...


def run_isolated(engine: Runner, rows: Sequence[Row]) -> list[RowResult | RowFailed]:
    """Answer rows; a batch that fails is halved until the rows that fail alone are found.

    Halving also answers a batch that did not fit into memory as a whole.

    Raises:
        EngineLost: the device is gone.
    """
    try:
        return list(engine.run(rows))
    except EngineLost:
        raise
    except Exception as error:
        if len(rows) == 1:
            return [_failed(error)]
        half = len(rows) // 2
    return run_isolated(engine, rows[:half]) + run_isolated(engine, rows[half:])


def _failed(cause: Exception) -> RowFailed:
    failed = RowFailed(f"this row makes the forward pass fail: {type(cause).__name__}")
    failed.__cause__ = cause
    return failed
