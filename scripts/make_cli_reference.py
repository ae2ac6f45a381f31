"""Writes the reference part of docs/cli.md from the commands themselves, so that it says what `--help` says.

The part before the mark is written by hand.

    python scripts/make_cli_reference.py            # write
    python scripts/make_cli_reference.py --check    # exit status 1 if the page is out of date
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mimi.cli import COMMANDS, application, load
from mimi.help import Item, sections, usage

PAGE = Path("docs/cli.md")
MARK = "<!-- From here on: scripts/make_cli_reference.py -->"
_WIDTH = 100


def reference() -> str:
    """Every command with its arguments and options, by the titles of `mimi --help`."""
    lines, root = [MARK, ""], application()
    context = root.make_context("mimi", [], resilient_parsing=True)
    panel = ""
    for name, entry in COMMANDS.items():
        if entry.panel != panel:
            panel = entry.panel
            lines += [f"## {panel}", ""]
        lines += _described(load(name), name, context, level=3)
    return "\n".join(lines).rstrip() + "\n"


def _described(command: Any, name: str, parent: Any, *, level: int) -> Iterator[str]:  # noqa: ANN401 - typer's are private
    """A command, and behind it the commands that it has itself."""
    context = command.context_class(command, info_name=name, parent=parent)
    path = context.command_path
    yield from (f"{'#' * level} {path}", "", f"    {usage(command, context)}", "")
    for paragraph in (command.help or "").split("\n\n"):
        yield from (*textwrap.wrap(" ".join(paragraph.split()), _WIDTH, break_on_hyphens=False), "")
    parts = sections(command, context)
    subcommands = parts.pop("Commands", [])
    for title, items in parts.items():
        yield from _table(title, items)
    for sub in subcommands:
        yield from _described(command.get_command(context, sub.name), sub.name, context, level=level + 1)


def _table(title: str, items: Sequence[Item]) -> Iterator[str]:
    items = [item for item in items if "--help" not in item.name]
    if not items:
        return
    yield from (f"| {title} | | default |", "|---|---|---|")
    for item in items:
        default = f"`{_cell(item.default)}`" if item.default else ""
        yield f"| `{_cell(item.name)}` | {_cell(item.text)} | {default} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it; 1 if it is out of date."""
    before = PAGE.read_text(encoding="utf-8")
    written = before.partition(MARK)[0] + reference()
    if "--check" in arguments:
        if written != before:
            print(f"{PAGE} is out of date: python scripts/make_cli_reference.py")
            return 1
        print(f"{PAGE} says what the commands say")
        return 0
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
