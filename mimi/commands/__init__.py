"""The commands of `mimi`: each module has a HELP line, its arguments, and a `run` that gives the exit status."""

from mimi.commands import compare, config, demo, inspect, publish, report, serve, train

COMMANDS = {
    "compare": compare,
    "config": config,
    "demo": demo,
    "inspect": inspect,
    "publish": publish,
    "report": report,
    "serve": serve,
    "train": train,
}

__all__ = ["COMMANDS"]
