"""The cost in accuracy and the gain in time of bfloat16 and int8 products on this processor, for every bundled task.

It computes the same network and adapters in four ways, as `mimi serve` does on a CPU: with PyTorch's operators, with
our kernels, and with these and `--precision bf16` or `int8`. These round the factors of products with the backbone's
weights.

    python -m benchmarks studies.lowered --data DIR --json lowered.json

`DIR` holds one folder of Parquet files for each data set, as for `training.bundled`. Needs AVX-512 BF16.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapters_store.bundled import bundled_tasks
from backbone import Backbone, load_backbone
from backbone.backend import Backend, ModuleBackend
from backbone.kernels import build_missing, default_folder, load, multiplies
from benchmarks.measure import context, interleave, ratios, write_json
from benchmarks.studies.int8 import accuracy, images_of, parsed
from training.export import from_file
from training.model import AdaptedModel

PACKAGES = ("torch", "numpy")
MODULES, FP32, BF16, INT8 = "operators", "fp32", "bf16", "int8"
BATCH = 64  # images, where labels are compared


def ways(backbone: Backbone) -> dict[str, Backend]:
    """Kernel backends by name."""
    folder = default_folder()
    build_missing(folder)
    return {
        MODULES: ModuleBackend(backbone),
        FP32: load(backbone, folder),
        BF16: load(backbone, folder, precision="bf16"),
        INT8: load(backbone, folder, precision="int8"),
    }


@torch.inference_mode()
def logits_of(model: AdaptedModel, way: Backend, images: Tensor) -> Tensor:
    """(B, K) of normalised images (B, 3, H, W)."""
    rows, backbone = slice(0, len(images)), model.backbone
    live = {site: [(adapter.weights, rows)] for site, adapter in model.live.items()}
    x = way.advance(way.embed(images), 0, len(backbone.sites), live)
    logits: Tensor = model.head(backbone.pool(x))
    return logits


def judge(task: str, model: AdaptedModel, found: Mapping[str, Backend], images: Tensor, targets: Tensor) -> Any:  # noqa: ANN401 - JSON
    """Accuracy on test images, and how far logits are from those by PyTorch's operators."""
    logits = {
        name: torch.cat([logits_of(model, way, batch) for batch in images.split(BATCH)]) for name, way in found.items()
    }
    labels = {name: each.argmax(1).numpy() for name, each in logits.items()}
    away = {name: float((each - logits[MODULES]).abs().max()) for name, each in logits.items()}
    variants = accuracy(labels, targets.numpy(), against=FP32)
    return {"task": task, "images": len(images), "variants": variants, "largest_difference": away}


def latency(
    model: AdaptedModel, found: Mapping[str, Backend], images: Tensor, *, threads: int, rounds: int
) -> dict[str, object]:
    """Paired times of one batch of one task."""
    torch.set_num_threads(threads)
    calls = {name: partial(logits_of, model, way, images) for name, way in found.items()}
    times = interleave(calls, rounds=rounds)
    against = {name: asdict(ratios(times[name].seconds, times[MODULES].seconds)) for name in (FP32, BF16, INT8)}
    raw = {name: asdict(each) for name, each in times.items()}
    return {"threads": threads, "batch": len(images), "against_operators": against, "times": raw}


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values."""
    backbone = load_backbone()
    found = ways(backbone)
    tasks: list[dict[str, object]] = []
    timed: list[dict[str, object]] = []
    for task in options.only:
        model = from_file(bundled_tasks()[task], backbone).eval()
        _, test = images_of(task, options.data, backbone, options.quick)
        images = backbone.preprocessing.normalize(test.pixels)
        torch.set_num_threads(max(options.threads))
        tasks.append(judge(task, model, found, images, test.targets))
        if not timed:  # the backbone decides, and it is the same for every task
            timed = [
                latency(model, found, images[:batch], threads=threads, rounds=options.rounds)
                for threads, batch in product(options.threads, options.batch)
            ]
    return {"benchmark": "lowered", "quick": options.quick, **context(PACKAGES), "tasks": tasks, "latency": timed}


def losses(data: Path, *, quick: bool) -> dict[str, dict[str, float]]:
    """By task and precision: percentage points of accuracy against fp32 that the bundled tasks lose on test images.

    Args:
        data: one folder for each data set, as for `training.bundled`.
        quick: some of the images are enough.
    """
    backbone, lost = load_backbone(), {}
    found = ways(backbone)
    for task, adapter in bundled_tasks().items():
        _, test = images_of(task, data, backbone, quick)
        images = backbone.preprocessing.normalize(test.pixels)
        judged = judge(task, from_file(adapter, backbone).eval(), found, images, test.targets)
        top1 = {name: variant["top1"] for name, variant in judged["variants"].items()}
        lost[task] = {name: 100 * (top1[FP32] - top1[name]) for name in (BF16, INT8)}
    return lost


def report(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures as lines of two tables."""
    yield f"| task | images | {FP32} | in | top-1 | same label | largest difference of a logit |"
    yield "|---|---:|---:|---|---:|---:|---:|"
    for each, name in product(result["tasks"], (BF16, INT8)):
        lowered = each["variants"][name]
        yield (
            f"| {each['task']} | {each['images']} | {each['variants'][FP32]['top1']:.4f} | {name} "
            f"| {lowered['top1']:.4f} (-{lowered['lost']} +{lowered['won']}) | {lowered['same_label']:.4f} "
            f"| {each['largest_difference'][name]:.2g} |"
        )
    yield ""
    yield f"| threads | images | {MODULES}, ms | {FP32} | {BF16} | {INT8} |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for it in result["latency"]:
        ratios_of = it["against_operators"]
        cells = ("{median:.2f} ({low:.2f} … {high:.2f})".format(**ratios_of[name]) for name in (FP32, BF16, INT8))
        milliseconds = 1e3 * float(np.median(it["times"][MODULES]["seconds"]))
        yield f"| {it['threads']} | {it['batch']} | {milliseconds:.1f} | {' | '.join(cells)} |"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.lowered", description=(__doc__ or "").partition("\n")[0])
    return parsed(parser, arguments, batch=[1, 4, 32], rounds=101)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the tables; 1 where the processor does not multiply bfloat16."""
    options = parse(arguments)
    if not multiplies("bf16"):
        print("this processor has no AVX-512 BF16", file=sys.stderr)
        return 1
    result = run(options)
    write_json(options.json, result)
    print("\n".join(report(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
