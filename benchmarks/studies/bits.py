"""Bytes against accuracy: every bundled task in 1 to 8 bits a weight, on its test images.

A row counts the bytes of the adapters and the head apart from those of the whole file. The file also holds the golden
image, what is known, and the manifest. `logits` is how far the logits move, as a share of their range (median).
A second start continues the first.

    python -m benchmarks studies.bits --data DIR --json docs/results/bits.json --folder docs/results/bits
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adapters_store import TaskAdapter, digest, unpack
from adapters_store.low_bit import row_bytes
from backbone import Backbone, load_backbone
from benchmarks.measure import context, write_json
from training.bundled import RECIPES, STORE, prepared_of
from training.compress import compressed
from training.export import from_file
from training.fit import logits_of
from training.pixels import PixelSet
from training.prefix import PrefixCache
from training.report.drawing import Chart, drawn, legend_right, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = ("torch", "timm", "numpy")
BITS = (1, 2, 3, 4, 5, 6, 7, 8)
WHOLE = 16  # bits of the stored files
_BATCH = 64

Row = dict[str, Any]


def weight_bytes(adapter: TaskAdapter) -> int:
    """Bytes of adapters and head in the file."""
    low_bit, bias = adapter.manifest.low_bit, 2 * len(adapter.head_bias)
    rows = [row for down, up in adapter.sites.values() for row in (*down, *up.T)]
    rows += list(adapter.head_weight)
    if low_bit is None:
        return bias + sum(int(row.nbytes) for row in rows)
    return bias + sum(2 + row_bytes(len(row), low_bit.bits) for row in rows)


def logits(data: bytes, backbone: Backbone, images: PixelSet, cache: PrefixCache) -> Tensor:
    """Logits (n, K) of a file for all images."""
    model = from_file(data, backbone).eval()
    inputs = cache.inputs(model.frozen, 0, model.cut)
    with torch.no_grad():
        return torch.cat([logits_of(model, batch, model.cut) for batch in inputs.split(_BATCH)])


def rows_of(task: str, data: Path, backbone: Backbone) -> list[Row]:
    """The rows of one task, the stored file first."""
    stored = (STORE / f"{task}.safetensors").read_bytes()
    images = prepared_of(task, data, backbone).test
    if images is None:
        raise SystemExit(f"{task} has no test images")
    cache = PrefixCache(images)
    first = logits(stored, backbone, images, cache)
    rows = []
    for bits in (WHOLE, *BITS):
        made = stored if bits == WHOLE else compressed(stored, bits, backbone)
        found = first if bits == WHOLE else logits(made, backbone, images, cache)
        moved = (found - first).abs().amax(1) / (first.amax(1) - first.amin(1))
        rows.append(
            {
                "task": task,
                "bits": bits,
                "stored": digest(stored),
                "images": len(images),
                "test_top1": float((found.argmax(1) == images.targets).float().mean()),
                "same_label": float((found.argmax(1) == first.argmax(1)).float().mean()),
                "logits": float(moved.median()),
                "weight_bytes": weight_bytes(unpack(made)),
                "file_bytes": len(made),
            }
        )
        print(rows[-1], flush=True)
    return rows


def known_rows(path: Path) -> list[Row]:
    """The rows that an earlier start has written."""
    found: list[Row] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def chart(rows: Sequence[Row]) -> Chart:
    """Accuracy against the bytes of adapters and head, a curve for each task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for place, task in enumerate(tasks):
            own = sorted((row for row in rows if row["task"] == task), key=lambda row: row["weight_bytes"])
            points = [row["weight_bytes"] / 1000 for row in own], [100 * row["test_top1"] for row in own]
            axes.plot(*points, label=task, lw=1.2, **look(place))
        axes.set(xscale="log", xlabel="kB of adapters and head", ylabel="test top-1, %")
        legend_right(figure, axes)

    caption = "Test accuracy against the bytes of adapters and head: 1 to 8 bits a weight, and 16 on the right."
    return drawn("bits", caption, draw, size=(7.2, 3.4))


def table(rows: Sequence[Row]) -> str:
    """Accuracy by task and bits, and kB of adapters and head, as Markdown."""
    bits = (*BITS, WHOLE)
    lines = [f"| test top-1; kB | {' | '.join(map(_title, bits))} |", "|---|" + "---:|" * len(bits)]
    found = {(row["task"], row["bits"]): row for row in rows}
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [found[task, each] for each in bits]
        cells = " | ".join(f"{row['test_top1']:.3f}; {row['weight_bytes'] / 1000:.1f}" for row in own)
        lines.append(f"| {task} | {cells} |")
    return "\n".join(lines) + "\n"


def _title(bits: int) -> str:
    return "1 bit" if bits == 1 else f"{bits} bits"


def main(arguments: Sequence[str]) -> int:
    """Measure what is left to measure; write the rows after every task, and the figure and the table at the end."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.bits", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--json", type=Path, required=True, help="file to write, and to continue")
    parser.add_argument("--folder", type=Path, help="folder to write the figure and the table into")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), help="tasks")
    options = parser.parse_args(arguments)
    backbone, rows = load_backbone(), known_rows(options.json)
    for task in options.only:
        stored = digest((STORE / f"{task}.safetensors").read_bytes())
        if any((row["task"], row["stored"]) == (task, stored) for row in rows):
            continue
        rows = [row for row in rows if row["task"] != task] + rows_of(task, options.data, backbone)
        result = {"benchmark": "bits", "backbone": backbone.name, **context(PACKAGES), "rows": rows}
        write_json(options.json, result)
    print(table(rows))
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "bits.svg").write_text(chart(rows).svg)
        (options.folder / "bits.md").write_text(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
