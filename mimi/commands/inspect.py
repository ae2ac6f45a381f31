"""`mimi inspect FILE`: checks a task adapter file and shows its manifest."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters_store import Manifest

HELP = "check a task adapter file and show what is in it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", type=Path, help="a task adapter file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(options: argparse.Namespace) -> int:
    """Make the server's checks that need no backbone, and print what the file says."""
    from adapters_store import digest, unpack
    from mimi.files import read_file

    data = read_file(options.file)
    facts = _facts(unpack(data).manifest) | {"bytes": len(data), "sha256": digest(data)}
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        print("\n".join(f"{name:{width}}  {_text(value)}" for name, value in facts.items()))
    return 0


def _facts(manifest: "Manifest") -> dict[str, object]:
    made = manifest.provenance
    live = manifest.live_sites
    return {
        "description": manifest.description or None,
        "backbone": manifest.backbone.name,
        "fingerprint": manifest.backbone.fingerprint,
        "labels": list(manifest.labels),
        "widths": list(manifest.widths),
        "live sites": f"{len(live)} of {len(manifest.widths)}",
        "first live site": live[0] if live else None,
        "adapter parameters": made.adapter_parameters,
        "head parameters": made.head_parameters,
        "GFLOPs": made.flops / 1e9,
        "method": made.method,
        "data set": made.dataset,
        "seed": made.seed,
        "cycles": made.cycles,
        "epochs": made.epochs,
        "compression": f"{made.initial_compression:g} to {made.target_compression:g}",
        "metrics": dict(made.metrics),
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.4g}" for name, number in value.items())
    return "none" if value is None else str(value)
