"""The engine against its goals and its peers: one command, one process for each system, interleaved rounds.

    python -m benchmarks engine --json engine.json
    python -m benchmarks engine --report engine.json

The parent (`command` and the experiments) computes nothing. It tells one worker after the other to make one call and to
say how long it took (`pipe`, `worker`). So all systems see the same machine in each round.

    bare, precisions, sharing,
    latency, libraries, cuda                   the experiments: `measure_…` in the parent, `build_…` in workers
    peers/                                     other libraries, built in workers
    material                                   weights, images and tasks that all share; our engine over them
    report                                     goals, tables and figures
"""

from collections.abc import Sequence
from importlib import import_module


def main(arguments: Sequence[str]) -> int:
    """As `command.main`; imported late, because environments of peers may not have our own packages."""
    status: int = import_module("benchmarks.engine.command").main(arguments)
    return status
