"""`mimi demo` does what a user would do: start a server, train a task, upload it, and ask many questions."""

import signal
import sys
from typing import Annotated

import typer

TERMINATED = 128 + signal.SIGTERM  # as a shell reports it

_DATA = "labelled images to ask about as well: a folder, a Parquet file, or TASK=path"


def demo(
    port: Annotated[int, typer.Option("--port", metavar="NUMBER", help="port of the server; 0: a free one")] = 0,
    data: Annotated[str | None, typer.Option("--data", metavar="DATA", help=_DATA)] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="stop the server at the end instead of leaving it up until Ctrl-C")
    ] = False,
) -> int:
    """Train a task adapter, upload it to a running server, and ask about real images; 1 if a promise does not hold."""
    from mimi.demo.steps import run_demo

    # Without a handler, SIGTERM would end the demo and leave its server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return run_demo(port=port, data=data, leave=leave)
