"""The commands of `mimi`: each has a HELP line, its arguments, and a `run` that gives the exit status.

A command is a module, or a `Command` where it shares its module with others.
"""

import argparse
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from mimi import demo
from mimi.commands import compare, export, inspect, publish, report, serve, store, train


class Command(NamedTuple):
    """A command that shares its module with others."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS: dict[str, ModuleType | Command] = {
    "compare": compare,
    "compile": Command(serve.COMPILE_HELP, serve.add_compile_arguments, serve.compile_kernels),
    "config": Command(serve.CONFIG_HELP, serve.add_arguments, serve.show_config),
    "demo": demo,
    "export": export,
    "inspect": inspect,
    "publish": publish,
    "report": report,
    "serve": serve,
    "store": store,
    "train": train,
}

__all__ = ["COMMANDS", "Command"]
