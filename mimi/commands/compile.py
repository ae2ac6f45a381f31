"""`mimi compile`: compiles the CPU kernels before a server needs them."""

import argparse
from pathlib import Path

HELP = "compile the CPU kernels, so that `mimi serve` starts with them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: the folder, and the processors to compile for."""
    from backbone.kernels import default_folder, level
    from backbone.kernels.build import LEVELS

    parser.add_argument(
        "--folder", type=Path, default=default_folder(), help="where libraries are kept (default: %(default)s)"
    )
    parser.add_argument(
        "--level",
        nargs="+",
        choices=tuple(LEVELS),
        default=[level()],
        help="instructions to compile for, several for an image that runs anywhere (default: this machine's)",
    )


def run(options: argparse.Namespace) -> int:
    """Compile a library for each level, and print its path."""
    from backbone.kernels import build

    for level in options.level:
        print(build(options.folder, level))
    return 0
