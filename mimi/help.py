"""The help of commands: on a terminal, in a pipe, and as the reference in docs/cli.md.

typer's own help is not used. It draws boxes with Rich, which need wide terminals, and importing these parts of Rich
takes longer than `mimi --help` may take.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand, TyperGroup

from mimi.terminal import BOLD, CYAN, styled, width

_NAMES = 24  # columns of names at most; a longer one has its text in the next line
_INDENT = 2
_OF_TYPER = {
    "--help": "show this help",
    "--install-completion": "install completion for this shell",
    "--show-completion": "print the completion for this shell",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A command, an argument or an option.

    Attributes:
        name: with its values: "--port VALUE".
        text: what it is.
        default: what holds if it is not given; empty: nothing, or the text says so.
    """

    name: str
    text: str
    default: str = ""


class Command(TyperCommand):
    """A command with help of this project's look."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer does not publish their types
        """Write the help."""
        formatter.write(help_text(self, ctx))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the command; what ends it from outside gets past typer as an `Ended`."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise Ended from error


class Ended(Exception):
    """A command was ended from outside; the cause says by what."""


class Group(TyperGroup):
    """Commands with help of this project's look."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help."""
        formatter.write(help_text(self, ctx))


def sections(command: Any, ctx: Any) -> dict[str, list[Item]]:  # noqa: ANN401
    """The parts of a command's help by their titles, in their order: arguments, options, commands."""
    found: dict[str, list[Item]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        if not getattr(parameter, "hidden", False):
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            found.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(_item(parameter))
    if isinstance(command, TyperGroup):
        for name in command.list_commands(ctx):
            sub: Any = command.get_command(ctx, name)
            title = getattr(sub, "rich_help_panel", None) or "Commands"
            found.setdefault(str(title), []).append(Item(name, _phrase(sub.help or "")))
        found["Options"] = found.pop("Options")  # behind the commands
    return {title: items for title, items in found.items() if items}


def usage(command: Any, ctx: Any) -> str:  # noqa: ANN401
    """The line that says how a command is called."""
    parts = [_metavar(parameter) for parameter in command.get_params(ctx) if parameter.param_type_name == "argument"]
    if isinstance(command, TyperGroup):
        parts.append("COMMAND")
    return " ".join([ctx.command_path, *parts, "[OPTIONS]"])


def help_text(command: Any, ctx: Any) -> str:  # noqa: ANN401
    """All of a command's help, as wide as the terminal."""
    lines = [f"{styled('Usage:', BOLD)} {usage(command, ctx)}", ""]
    for paragraph in (command.help or "").split("\n\n"):
        lines += [*_wrapped(" ".join(paragraph.split()), 0), ""]
    parts = sections(command, ctx)
    column = min(_NAMES, max((len(item.name) for items in parts.values() for item in items), default=0)) + 2 * _INDENT
    for title, items in parts.items():
        lines += [styled(f"{title}:", BOLD), *(line for item in items for line in _lines(item, column)), ""]
    if command.epilog:
        lines += [line for part in command.epilog.split("\n") for line in (_wrapped(part, 0) or [""])] + [""]
    return "\n".join(lines)


def _item(parameter: Any) -> Item:  # noqa: ANN401
    default = parameter.show_default if isinstance(parameter.show_default, str) else ""
    if not default and parameter.show_default and parameter.default not in (None, False, (), []):
        default = str(parameter.default)
    if parameter.param_type_name == "argument":
        return Item(_metavar(parameter), parameter.help or "", default)
    names = ", ".join(sorted([*parameter.opts, *parameter.secondary_opts], key=len))
    value = "" if parameter.is_flag or parameter.count else f" {parameter.metavar or _typed(parameter)}"
    text = (parameter.help or "").removesuffix(".")
    text = next(filter(None, map(_OF_TYPER.get, parameter.opts)), text)
    return Item(names + value, text, default)


def _phrase(text: str) -> str:
    """The first line as part of a list: no capital, no full stop."""
    first = text.strip().partition("\n")[0].removesuffix(".")
    return first[:1].lower() + first[1:] if first[:2].istitle() else first


def _typed(parameter: Any) -> str:  # noqa: ANN401
    return str(parameter.name).upper()


def _metavar(parameter: Any) -> str:  # noqa: ANN401
    name = parameter.metavar or str(parameter.name).upper()
    name = f"{name}..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _lines(item: Item, column: int) -> Iterator[str]:
    """An item with its text beside it, or below it where it is long."""
    name, text = f"{' ' * _INDENT}{item.name}", _wrapped(_with_default(item), column)
    beside = len(name) + 2 <= column and text
    shown = styled(name, CYAN)
    yield shown + " " * (column - len(name)) + text[0].lstrip() if beside else shown
    yield from text[1:] if beside else text


def _with_default(item: Item) -> str:
    return f"{item.text} [{item.default}]" if item.default else item.text


def _wrapped(text: str, indent: int) -> list[str]:
    margin = " " * indent
    return textwrap.wrap(
        text, max(width(), indent + 20), initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )
