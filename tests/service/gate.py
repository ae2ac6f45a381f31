"""An engine that computes only when told to, so that tests see what happens meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from service.engine import Engine, Row, RowResult
from tests.service.live import PATIENCE, Live


class Gate:
    """Stands before an engine's `run`; closed until `open` is set."""

    def __init__(self, engine: Engine) -> None:
        self._run = engine.run
        self.reached, self.open = threading.Event(), threading.Event()
        self.rows: list[Row] = []

    def __call__(self, rows: Sequence[Row]) -> list[RowResult]:
        self.reached.set()
        assert self.open.wait(PATIENCE)
        self.rows += rows
        return self._run(rows)


def until(condition: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds that should hold soon."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


@contextmanager
def gated(live: Live) -> Iterator[Gate]:
    """The server's engine behind a gate, which is open afterwards."""
    engine = live.service.engine
    gate = Gate(engine)
    engine.run = gate  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        gate.open.set()
        del engine.run  # the class's own again
