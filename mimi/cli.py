"""`mimi COMMAND`: finds the command, runs it, and turns an error into its reason, the next step and an exit status.

A command is imported when it runs, so that `mimi --help` answers at once.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any, NamedTuple

import typer

from mimi.errors import BadOption, next_step
from mimi.help import Command, Ended, Group
from mimi.terminal import fail

OURS = ("backbone", "adapters_store", "training", "service", "mimi")
FAILED, WRONG_USAGE = 1, 2
INTERRUPTED = 130  # as a shell reports a process ended by Ctrl-C
CLOSED = 141  # as a shell reports a process ended by SIGPIPE

HELP = "Train, publish and serve tiny tasks over one frozen vision transformer."
STATUSES = "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 the reader of the output ended first."

_MAKE, _FILES, _ASK = "Make tasks", "Task adapter files", "Serve and ask"
_MANAGE, _MACHINE = "Manage a server", "This machine"
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer publishes the subclass alone


class Entry(NamedTuple):
    """The module of a command, and its line in the list of commands."""

    module: str  # below mimi.commands; the function there has the command's name, with _ for -
    help: str
    panel: str


COMMANDS = {
    "demo": Entry("demo", "train a task adapter, upload it to a running server, and ask about real images", _MAKE),
    "train": Entry("train", "train a task adapter with MiMi, from labelled images", _MAKE),
    "compare": Entry("compare", "compare methods at equal budgets, from one TOML file", _MAKE),
    "report": Entry("compare", "write tables and figures from the rows of a comparison, or from adapters", _MAKE),
    "inspect": Entry("files", "show what is in a task adapter file: neurons, cost, labels, origin", _FILES),
    "verify": Entry("files", "make every check of a server on task adapter files", _FILES),
    "add-class": Entry("heads", "add a class to a task adapter file from its images alone, in seconds", _FILES),
    "statistics": Entry("heads", "put into a task adapter file what adding a class to it needs", _FILES),
    "compress": Entry("heads", "store a task adapter file in 1 to 8 bits a weight", _FILES),
    "export": Entry("export", "write a task, or the backbone whose adapters are inputs, as an ONNX model", _FILES),
    "serve": Entry("serve", "serve every task of a store over one resident backbone", _ASK),
    "predict": Entry("predict", "ask a task about images, here or on a server", _ASK),
    "bench": Entry("bench", "measure how fast tasks are answered, here or on a server", _ASK),
    "publish": Entry("manage", "upload a task adapter file to a server, where it is live at once", _MANAGE),
    "tasks": Entry("manage", "list the tasks of a server, or show one", _MANAGE),
    "versions": Entry("manage", "list the versions of a task, show one, or download it", _MANAGE),
    "alias": Entry("manage", "list the aliases of a task, move one, or split its traffic", _MANAGE),
    "rollback": Entry("manage", "return an alias to what it pointed at before", _MANAGE),
    "delete": Entry("manage", "delete a version, or a task with all its versions", _MANAGE),
    "feedback": Entry("feedback", "make a training set of the corrections that a server has taken", _MANAGE),
    "label-studio": Entry("label_studio", "offer a server's task to Label Studio as an ML backend", _MANAGE),
    "store": Entry("store", "check, repair, copy, back up or restore a store, also while servers use it", _MANAGE),
    "config": Entry("serve", "print the settings that a server would run with, and where each came from", _MACHINE),
    "compile": Entry("serve", "compile the CPU kernels, so that a server starts with them", _MACHINE),
    "doctor": Entry("doctor", "find what is wrong with this machine, and say what to do", _MACHINE),
}


class _Lazy(Group):
    """The commands by name; a command's own module is imported when it is to run, or to help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer does not publish their types
        """The command that the first word names, imported."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and found else None, rest


@cache
def application() -> Any:  # noqa: ANN401
    """All commands, each as a line of help until it is needed."""
    app = typer.Typer(cls=_Lazy, help=HELP, epilog=STATUSES, no_args_is_help=True, context_settings=_HELP_NAMES)
    app.callback()(_root)
    for name, entry in COMMANDS.items():
        app.command(name, help=entry.help, rich_help_panel=entry.panel, cls=Command)(_stub)
    return typer.main.get_command(app)


@cache
def load(name: str) -> Any:  # noqa: ANN401
    """A command of its own module."""
    from mimi.parameters import expanded

    module = import_module(f"mimi.commands.{COMMANDS[name].module}")
    found: Callable[..., int] | typer.Typer = getattr(module, name.replace("-", "_"))
    app = found
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name, cls=Command, context_settings=_HELP_NAMES)(expanded(found))
    command = typer.main.get_command(app)
    command.name = name
    return command


_NEAREST = re.compile(r"\. Did you mean '([\w-]+)'.*")  # typer's words
_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"mimi {version('mimi-serving')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="show the version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _stub() -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 nobody reads.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a locale without UTF-8 shows "?" for a character that it lacks
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status: int | None = application().main(args=words, prog_name="mimi", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed()
    except Ended as ended:
        return _closed() if isinstance(ended.__cause__, BrokenPipeError) else _interrupted()
    except _UsageError as error:
        return _misused(error)
    except typer.Abort:
        fail("nothing was done")
        return FAILED
    except Exception as error:
        # A domain error is a message to the user. Any other error is a bug of ours and keeps its traceback.
        if type(error).__module__.partition(".")[0] not in OURS:
            raise
        if isinstance(error, BadOption):
            fail(str(error), f"mimi {words[0]} --help")
            return WRONG_USAGE
        fail(str(error), next_step(error))
        return FAILED
    return status or 0


def _closed() -> int:
    """The reader of our output ended first, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails again
    return CLOSED


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


def _misused(error: Any) -> int:  # noqa: ANN401
    """The command line cannot be understood: why, with the nearest word that can be."""
    command: Any = getattr(error, "ctx", None)
    path = command.command_path if command else "mimi"
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.message, file=sys.stderr)
        return WRONG_USAGE
    text = _NEAREST.sub(r"; the nearest is \1", error.format_message()).rstrip(".")
    if typo := getattr(error, "option_name", None) if type(error).__name__ == "NoSuchOption" else None:
        text = f"there is no option {typo}"
        known = [name for each in command.command.get_params(command) for name in (*each.opts, *each.secondary_opts)]
        nearest = difflib.get_close_matches(typo, [name for name in known if name.startswith("--")], n=1, cutoff=0.4)
        text += f"; the nearest is {nearest[0]}" if nearest else ""
    fail(text[:1].lower() + text[1:], f"{path} --help")
    return WRONG_USAGE
