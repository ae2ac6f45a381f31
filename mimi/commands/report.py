"""`mimi report RUNS --out DIR`: tables and figures of a comparison."""

import argparse
from pathlib import Path

HELP = "tables, figures and a page from the rows of `mimi compare`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("runs", type=Path, nargs="+", help="files of rows, as `mimi compare` writes them")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--work", type=Path, help="the comparison's work folder, for validation accuracy by epoch")


def run(options: argparse.Namespace) -> int:
    """Write everything, and say what to open."""
    from training.report.comparison import write_comparison

    page, *others = write_comparison(options.runs, options.out, work=options.work)
    print(f"{page} and {len(others)} files beside it")
    return 0
