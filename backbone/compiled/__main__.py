"""Compiles the sub-layers of a backbone at the lowest priority, and prints a line for each program.

python -m backbone.compiled [NAME] [--cache FOLDER]
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from backbone.compiled.cache import Cache, default_folder
from backbone.compiled.errors import CompileError
from backbone.loading import BUNDLED, load_backbone


def main(arguments: Sequence[str]) -> int:
    """Returns 0 if every program is there, 1 if one could not be made."""
    parser = argparse.ArgumentParser(prog="python -m backbone.compiled", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", nargs="?", default=BUNDLED, help="of the backbone (default: the bundled one)")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    _step_back()
    backbone = load_backbone(options.name, pretrained=False)  # programs do not depend on the weights' values
    try:
        for kind in Cache(options.cache).fill(backbone):
            print(f"compiled sub-layer {kind.site.index} and its like", flush=True)
    except (CompileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _step_back() -> None:
    """Take only what nobody else wants of the processor."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
