"""`mimi COMMAND`: finds the command, runs it, and turns an error into one line and an exit status.

A command imports what it needs when it runs, so that `mimi --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper

from mimi.commands import COMMANDS

OURS = ("backbone", "adapters_store", "training", "service", "mimi")
INTERRUPTED = 130  # as a shell reports a process ended by Ctrl-C
CLOSED = 141  # as a shell reports a process ended by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 nobody reads.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a locale without UTF-8 shows "?" for a character that it lacks
            stream.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words).parse_args(words)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output ended first, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails again
        return CLOSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        # A domain error is a message to the user. Any other error is a bug of ours and keeps its traceback.
        if type(error).__module__.partition(".")[0] not in OURS:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser(words: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """A parser of every command, with the arguments of the commands in `words`; to add arguments may take imports."""
    parser = argparse.ArgumentParser(
        prog="mimi",
        description="Train, publish and serve tiny tasks over one frozen vision transformer.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mimi {version('mimi-serving')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.HELP, description=command.HELP, allow_abbrev=False)
        if name in words:
            command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser
