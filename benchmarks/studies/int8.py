"""An int8 backbone's cost in accuracy and gain in time and size on this processor, for every bundled task.

Each task is a model of its own. The products of the backbone with its weights become int8 (signed, a scale for each
channel); adapters, head, attention products and norms stay float32.

    int8          as `mimi export --int8` and `--precision int8`: activations are scaled anew in every forward pass,
                  weights have 7 bits, since without VNNI two 8-bit products may not fit into 16 bits together
    dynamic-8bit  the same with 8 bits, by ONNX Runtime's own quantiser
    static-7bit   by the same tool: activations are scaled as 64 training images suggest

    python -m benchmarks studies.int8 --data DIR --json int8.json

`DIR` holds one folder of Parquet files for each data set, as for `training.bundled`.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

from adapters_store import TaskAdapter, unpack
from adapters_store.bundled import bundled_tasks
from backbone import Backbone, SiteWeights, load_backbone
from backbone.onnx import LOGITS, PIXELS, task_model
from benchmarks.measure import context, interleave, ratios, write_json
from training.bundled import RECIPES
from training.data import load_data
from training.pixels import PixelSet, decode_all

PLAIN, VARIANTS = "fp32", ("int8", "dynamic-8bit", "static-7bit")
BATCH = 8
PRODUCT = "Gemm"  # how the export writes a product with the backbone's weights, and the head's behind them

Sessions = Mapping[str, InferenceSession]


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Training images, a batch at a time, as the tool asks for them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._batches = iter([{PIXELS: pixels[start : start + BATCH]} for start in range(0, len(pixels), BATCH)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None at the end."""
        return next(self._batches, None)


def export(backbone: Backbone, adapter: TaskAdapter, *, int8: bool) -> onnx.ModelProto:
    """The task as one model, as `mimi export` makes it."""
    sites = {index: SiteWeights(_tensor(site.down), _tensor(site.up)) for index, site in adapter.sites.items()}
    return task_model(backbone, sites, (_tensor(adapter.head_weight), _tensor(adapter.head_bias)), {}, int8=int8)


def variants_of(backbone: Backbone, adapter: TaskAdapter, images: np.ndarray, folder: Path) -> dict[str, Path]:
    """The task in float32 and in every int8 variant, as files; `images` are to calibrate with."""
    files = {name: folder / f"{name}.onnx" for name in (PLAIN, *VARIANTS)}
    plain = export(backbone, adapter, int8=False)
    onnx.save(plain, files[PLAIN])
    onnx.save(export(backbone, adapter, int8=True), files["int8"])
    common = {"nodes_to_exclude": _kept(plain), "per_channel": True, "weight_type": QuantType.QInt8}
    # The tool writes a Gemm as a MatMul and a sum, and passes by what has no constant factor: attention.
    quantize_dynamic(files[PLAIN], files["dynamic-8bit"], op_types_to_quantize=[PRODUCT, "MatMul"], **common)
    common |= {"op_types_to_quantize": [PRODUCT], "reduce_range": True}
    quantize_static(files[PLAIN], files["static-7bit"], Calibration(images), **common)
    return files


def _kept(model: onnx.ModelProto) -> list[str]:
    """Names of the products that stay in float32: those of the adapters, and the head's."""
    constants = {each.name for each in model.graph.initializer}
    adapters = [node.name for node in model.graph.node if node.op_type == "MatMul" and constants & set(node.input)]
    head = [node.name for node in model.graph.node if node.op_type == PRODUCT][-1]
    return [*adapters, head, f"{head}_MatMul"]  # as the tool names it anew


def load(files: Mapping[str, Path], threads: int) -> Sessions:
    """A session on the processor for each file."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    return {name: InferenceSession(path, options, providers=["CPUExecutionProvider"]) for name, path in files.items()}


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))


PACKAGES = ("onnxruntime-gpu", "onnx", "torch", "numpy")
CALIBRATION, QUICK = 64, 48  # images
MIN_ROUNDS = 15


def answers(session: InferenceSession, pixels: np.ndarray) -> np.ndarray:
    """The label that each image gets."""
    batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    return np.concatenate([session.run([LOGITS], {PIXELS: batch})[0].argmax(1) for batch in batches])


def accuracy(
    found: Mapping[str, np.ndarray], targets: np.ndarray, *, against: str = PLAIN
) -> dict[str, dict[str, float]]:
    """Of each variant: top-1, and on how many images it alone, or `against` alone, is right."""
    right = {name: labels == targets for name, labels in found.items()}
    return {
        name: {
            "top1": float(each.mean()),
            "same_label": float((found[name] == found[against]).mean()),
            "lost": int((right[against] & ~each).sum()),
            "won": int((each & ~right[against]).sum()),
        }
        for name, each in right.items()
    }


def judge(task: str, sessions: Sessions, backbone: Backbone, test: PixelSet) -> dict[str, object]:
    """Accuracy on test images."""
    pixels = backbone.preprocessing.normalize(test.pixels).numpy()
    found = {name: answers(session, pixels) for name, session in sessions.items()}
    return {"task": task, "images": len(test), "variants": accuracy(found, test.targets.numpy())}


def latency(files: Mapping[str, Path], pixels: np.ndarray, *, threads: int, rounds: int) -> dict[str, object]:
    """Paired times of one batch."""
    sessions = load(files, threads)
    times = interleave(
        {name: partial(session.run, [LOGITS], {PIXELS: pixels}) for name, session in sessions.items()}, rounds=rounds
    )
    against = {
        name: {
            "time_ratio": asdict(ratios(times[name].seconds, times[PLAIN].seconds)),
            "cpu_time_ratio": asdict(ratios(times[name].cpu_seconds, times[PLAIN].cpu_seconds)),
        }
        for name in VARIANTS
    }
    raw = {name: asdict(each) for name, each in times.items()}
    return {"threads": threads, "batch": len(pixels), "against_fp32": against, "times": raw}


def images_of(task: str, data: Path, backbone: Backbone, quick: bool) -> tuple[np.ndarray, PixelSet]:
    """Normalised training images to calibrate with, and the test split."""
    spec = RECIPES[task].data
    source = load_data(spec if spec.startswith("digits") else str(data / spec))
    if source.test is None:
        raise ValueError(f"{spec} has no test images")
    drawn = np.random.default_rng(0).permutation(len(source.train))[:CALIBRATION]
    calibration = decode_all(source.train, backbone.preprocessing, drawn.tolist())
    rows = np.random.default_rng(0).permutation(len(source.test))[:QUICK] if quick else np.arange(len(source.test))
    test = decode_all(source.test, backbone.preprocessing, rows.tolist())
    return backbone.preprocessing.normalize(calibration.pixels).numpy(), test


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values."""
    torch.set_num_threads(max(options.threads))
    backbone = load_backbone()
    tasks: list[dict[str, object]] = []
    timed: list[dict[str, object]] = []
    for task in options.only:
        adapter = unpack(bundled_tasks()[task])
        calibration, test = images_of(task, options.data, backbone, options.quick)
        with tempfile.TemporaryDirectory() as folder:
            files = variants_of(backbone, adapter, calibration, Path(folder))
            sizes = {name: path.stat().st_size for name, path in files.items()}
            tasks.append({**judge(task, load(files, max(options.threads)), backbone, test), "bytes": sizes})
            if not timed:  # the backbone decides, and it is the same for every task
                timed = [
                    latency(files, calibration[:batch], threads=threads, rounds=options.rounds)
                    for threads, batch in product(options.threads, options.batch)
                ]
    return {"benchmark": "int8", "quick": options.quick, **context(PACKAGES), "tasks": tasks, "latency": timed}


def report(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures as lines of a table."""
    yield f"| task | images | {' | '.join((PLAIN, *VARIANTS))} |"
    yield "|---|---:" + "|---:" * (1 + len(VARIANTS)) + "|"
    for each in result["tasks"]:
        cells = (
            f"{found['top1']:.4f}" + (f" (-{found['lost']} +{found['won']})" if name != PLAIN else "")
            for name, found in each["variants"].items()
        )
        yield f"| {each['task']} | {each['images']} | {' | '.join(cells)} |"
    sizes = result["tasks"][0]["bytes"]
    yield f"| MB | | {' | '.join(f'{size / 1e6:.1f}' for size in sizes.values())} |"
    for run in result["latency"]:
        cells = (
            "{median:.2f} ({low:.2f} … {high:.2f})".format(**it["time_ratio"]) for it in run["against_fp32"].values()
        )
        yield f"| time, {run['threads']} threads, batch {run['batch']} | | 1 | {' | '.join(cells)} |"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.int8", description=(__doc__ or "").partition("\n")[0])
    return parsed(parser, arguments, batch=[1, 8], rounds=41)


def parsed(
    parser: argparse.ArgumentParser, arguments: Sequence[str], *, batch: list[int], rounds: int
) -> argparse.Namespace:
    """The options of a benchmark of the tasks that ship; `batch` and `rounds` are its defaults."""
    shown = " ".join(map(str, batch))
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder of Parquet files a data set")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), help="tasks (default: all)")
    parser.add_argument("--batch", type=int, nargs="+", default=batch, help=f"images a pass (default: {shown})")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved, at least 15 (default: {rounds})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} test images of each task")
    options = parser.parse_args(arguments)
    if options.rounds < MIN_ROUNDS:
        parser.error(f"--rounds must be at least {MIN_ROUNDS}")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    options = parse(arguments)
    result = run(options)
    write_json(options.json, result)
    print("\n".join(report(result)))
    return 0
