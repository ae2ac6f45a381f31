"""`mimi report FILE --out DIR`: tables and figures of a comparison, and where the neurons of task adapters sit."""

import argparse
from pathlib import Path

HELP = "tables, figures and a page from the rows of `mimi compare`; where the neurons of task adapters sit"

_ADAPTER = ".safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("files", type=Path, nargs="+", help=f"rows as `mimi compare` writes them, or FILE{_ADAPTER}")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--work", type=Path, help="the comparison's work folder, for validation accuracy by epoch")


def run(options: argparse.Namespace) -> int:
    """Write everything, and print which file to open."""
    from mimi.files import read_file
    from training.report.comparison import write_comparison
    from training.report.sites import write_allocation

    adapters = [path for path in options.files if path.suffix == _ADAPTER]
    rows = [path for path in options.files if path not in adapters]
    written = write_comparison(rows, options.out, work=options.work) if rows else []
    first, *others = written + (
        write_allocation({path.stem: read_file(path) for path in adapters}, options.out) if adapters else []
    )
    print(f"{first} and {len(others)} files beside it")
    return 0
