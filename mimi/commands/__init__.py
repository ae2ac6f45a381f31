"""The commands of `mimi`: each module has a HELP line, its arguments, and a `run` that gives the exit status."""

from mimi.commands import compare, compile, config, demo, export, inspect, publish, report, serve, store, train

COMMANDS = {
    "compare": compare,
    "compile": compile,
    "config": config,
    "demo": demo,
    "export": export,
    "inspect": inspect,
    "publish": publish,
    "report": report,
    "serve": serve,
    "store": store,
    "train": train,
}

__all__ = ["COMMANDS"]
