"""`mimi compile`: compiles the CPU kernels before a server needs them."""

import argparse
from pathlib import Path

from mimi.errors import BadOption

HELP = "compile the CPU kernels, so that `mimi serve` starts with them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: the folder, and the processors to compile for."""
    parser.add_argument("--folder", type=Path, help="where libraries are kept (default: the user's cache folder)")
    parser.add_argument(
        "--level",
        nargs="+",
        help="instructions to compile for, several for an image that runs anywhere (default: this machine's)",
    )


def run(options: argparse.Namespace) -> int:
    """Compile a library for each level, and print its path.

    Raises:
        BadOption: there is no such level.
    """
    from backbone.kernels import build, default_folder, level
    from backbone.kernels.build import LEVELS

    chosen = options.level or [level()]
    if unknown := [each for each in chosen if each not in LEVELS]:
        raise BadOption(f"--level must be one of {', '.join(LEVELS)}, not {unknown[0]!r}")
    for each in chosen:
        print(build(options.folder or default_folder(), each))
    return 0
