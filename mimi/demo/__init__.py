"""`mimi demo` does what a user would do: start a server, train a task, upload it, and ask many questions."""

import argparse
import signal
import sys

HELP = "train a task adapter, upload it to a running server, and ask about real images"

TERMINATED = 128 + signal.SIGTERM  # as a shell reports it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--port", type=int, default=0, help="port of the server (default: a free one)")
    parser.add_argument("--data", help="labelled images to ask about as well: a folder, a Parquet file, or TASK=path")
    parser.add_argument("--exit", action="store_true", help="stop the server at the end instead of leaving it up")


def run(options: argparse.Namespace) -> int:
    """Run the demo; 1 if a check failed."""
    from mimi.demo.steps import run_demo

    # Without a handler, SIGTERM would end the demo and leave its server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return run_demo(port=options.port, data=options.data, leave=options.exit)
