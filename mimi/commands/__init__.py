"""The commands of `mimi`: each module has a HELP line, its arguments, and a `run` that gives the exit status."""

from mimi.commands import demo, inspect, publish, serve, train

COMMANDS = {"demo": demo, "inspect": inspect, "publish": publish, "serve": serve, "train": train}

__all__ = ["COMMANDS"]
