"""`mimi compile`: make the programs that let this machine's processor compute the backbone faster."""

import argparse
from pathlib import Path

HELP = "compile a backbone's sub-layers for this processor, so that `mimi serve` starts with them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which backbone, and where to."""
    from backbone.compiled import default_folder
    from backbone.loading import BUNDLED

    parser.add_argument("--backbone", default=BUNDLED, help="a timm architecture (default: the bundled backbone)")
    parser.add_argument(
        "--folder", type=Path, default=default_folder(), help="where programs are kept (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Make what is missing, a line for each program."""
    from backbone import load_backbone
    from backbone.compiled import Cache

    backbone = load_backbone(options.backbone, pretrained=False)  # programs do not depend on the weights' values
    cache = Cache(options.folder)
    missing = len(cache.missing(backbone))
    for done, kind in enumerate(cache.fill(backbone), start=1):
        print(f"{done} of {missing}: sub-layer {kind.site.index} and those like it", flush=True)
    print(f"{options.folder}: every sub-layer of {backbone.name} is compiled for this processor")
    return 0
