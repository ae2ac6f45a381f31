"""`python -m tests.service.dying_server`: the real server, whose device is lost when it shall compute."""

import os
import sys
from collections.abc import Sequence

from service.engine import Engine, EngineLost, Row, RowResult
from service.process.configuration import load
from service.process.server import main
from tests.service.adapters import bundled_backbone


def _lost(_engine: Engine, _rows: Sequence[Row]) -> list[RowResult]:
    raise EngineLost("the device is gone")


if __name__ == "__main__":
    bundled_backbone()  # as quiet as the other tests
    Engine.run = _lost  # type: ignore[method-assign, assignment]
    sys.exit(main(load(os.environ)))
