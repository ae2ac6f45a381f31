"""The engine against its goals and its peers: one command, a process for each contestant, repeats interleaved.

    python -m benchmarks engine --json engine.json
    python -m benchmarks.engine --report engine.json

The parent (`command`, `experiments`) computes nothing: it tells one worker after the other to make one call and to
say how long it took (`pipe`, `worker`), so that a round of all contestants sees the same machine. `goals` says what
is to be reached, `quiet` whether the machine may be measured at all, `report` and `figures` what came of it.
"""

from collections.abc import Sequence
from importlib import import_module


def main(arguments: Sequence[str]) -> int:
    """As `command.main`; imported late, because the workers of peers may live where our own packages are not."""
    status: int = import_module("benchmarks.engine.command").main(arguments)
    return status
