"""`python -m tests.stress.engine_victim FOLDER serve …`: the real server, whose engine fails when a file asks for it.

FOLDER/lost: the device is gone; FOLDER/hung: the engine never comes back. The file is removed first, so that the next
server over the same store is sound.
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from mimi.cli import main
from service.engine import Engine, EngineLost, Row, RowResult

FAULTS = ("lost", "hung")


def fail(engine: Engine, rows: Sequence[Row]) -> list[RowResult]:
    """Compute, unless a fault is asked for."""
    if _taken("lost"):
        raise EngineLost("the device is gone")
    if _taken("hung"):
        threading.Event().wait()
    return computes(engine, rows)


def _taken(name: str) -> bool:
    try:
        (folder / name).unlink()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    computes = Engine.run
    Engine.run = fail  # type: ignore[method-assign, assignment]
    sys.exit(main(sys.argv[2:]))
