"""`python -m tests.service.hung_server FOLDER`: the real server, whose engine waits until FOLDER/go exists.

It makes FOLDER/reached when it begins to wait.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from service.engine import Engine, Row, RowResult
from service.process.configuration import load
from service.process.server import main
from tests.service.adapters import bundled_backbone

FOLDER = "HUNG_SERVER_FOLDER"  # the variable that names it


def hang(engine: Engine, rows: Sequence[Row]) -> list[RowResult]:
    """Wait, then compute."""
    folder = Path(os.environ[FOLDER])
    (folder / "reached").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return computes(engine, rows)


if __name__ == "__main__":
    bundled_backbone()  # as quiet as the other tests
    computes = Engine.run
    Engine.run = hang  # type: ignore[method-assign, assignment]
    sys.exit(main(load(os.environ)))
