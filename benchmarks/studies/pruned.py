"""The gain of pruning at inference: one task adapter against its own cycle 0 and against its neurons spread out.

Compares forward passes that differ only in hidden sizes. They are the pruned task; the same task at its initial widths;
as many neurons as the pruned one, spread over all sites, evenly or in proportion to the initial widths; and no adapter.
FLOPs are counted while the pass runs, times are paired within interleaved rounds.

    python -m benchmarks studies.pruned --json pruned.json
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import adapters_store
from adapters_store import digest, unpack
from backbone import BUNDLED, Backbone, load_backbone
from benchmarks.measure import Times, context, differences, interleave, ratios, write_json
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident
from service.engine.planning import plan
from service.engine.runtime import TorchRuntime

ARTIFACT = Path(adapters_store.__file__).parent / "bundled" / "gtsrb.safetensors"
PACKAGES = ("torch", "timm", "numpy")
INITIAL_FRACTION = 8  # N = M / 8, the initial width where none is given
MIN_ROUNDS = 15

Widths = Sequence[int]


def spread(neurons: int, weights: Sequence[int]) -> list[int]:
    """`neurons` over the sites in proportion to `weights`, rounded so that the sum is exact."""
    total, ends = sum(weights), [0]
    for position in range(len(weights)):
        ends.append(neurons * sum(weights[: position + 1]) // total)
    return [end - start for start, end in pairwise(ends)]


def baselines(widths: Widths, initial: Widths) -> dict[str, list[int]]:
    """Hidden sizes of the forward passes that `widths` is compared with."""
    return {
        "cycle0": list(initial),
        "spread_evenly": spread(sum(widths), [1] * len(widths)),
        "spread_in_proportion": spread(sum(widths), initial),
        "bare": [0] * len(widths),
    }


def make_variants(engine: Engine, options: argparse.Namespace) -> dict[str, tuple[list[int], Resident]]:
    """Widths and resident weights of the pruned task and of its baselines."""
    backbone = engine.backbone
    if options.widths:
        widths, classes = list(options.widths), options.classes
        initial = [max(1, site.dim // INITIAL_FRACTION) for site in backbone.sites]
        pruned = engine.admit(task_adapter(backbone, widths, classes=classes, seed=0, initial_widths=initial), "pruned")
    else:
        data = options.artifact.read_bytes()
        adapter = unpack(data)
        widths, classes = list(adapter.manifest.widths), len(adapter.manifest.labels)
        initial = list(adapter.manifest.provenance.initial_widths)
        pruned = engine.admit(adapter, digest(data))
    others = {
        name: (hidden, engine.admit(task_adapter(backbone, hidden, classes=classes, seed=0), name))
        for name, hidden in baselines(widths, initial).items()
    }
    return {"pruned": (widths, pruned), **others}


def count_flops(backbone: Backbone, images: Tensor, resident: Resident) -> int:
    """FLOPs of one image, counted while a batch is computed."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # fused attention goes uncounted
        TorchRuntime(backbone).forward(images, plan([resident] * len(images)))
    return int(counter.get_total_flops()) // len(images)


def measure(
    backbone: Backbone, images: Tensor, residents: Mapping[str, Resident], *, threads: int, rounds: int
) -> dict[str, object]:
    """Paired times with `threads` threads: each baseline against the pruned task."""
    torch.set_num_threads(threads)
    forward = TorchRuntime(backbone).forward
    calls = {name: partial(forward, images, plan([it] * len(images))) for name, it in residents.items()}
    times = interleave(calls, rounds=rounds)
    comparisons = {name: compare(baseline, times["pruned"]) for name, baseline in times.items() if name != "pruned"}
    raw = {name: asdict(each) for name, each in times.items()}
    return {"threads": threads, "batch": len(images), "comparisons": comparisons, "times": raw}


def compare(baseline: Times, pruned: Times) -> dict[str, object]:
    """A baseline's times against the pruned task's, paired by round."""
    saved = differences(baseline.seconds, pruned.seconds)
    return {
        "time_ratio": asdict(ratios(baseline.seconds, pruned.seconds)),
        "seconds_saved": asdict(saved),
        "cpu_time_ratio": asdict(ratios(baseline.cpu_seconds, pruned.cpu_seconds)),
        "pruned_is_faster": saved.low > 0,
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.pruned", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--artifact", type=Path, default=ARTIFACT, help="task adapter file (default: bundled gtsrb)")
    source.add_argument("--widths", type=_numbers, help="hidden sizes for random weights, such as 0,0,4,… (one a site)")
    parser.add_argument("--classes", type=int, default=10, help="of the head, with --widths (default: 10)")
    parser.add_argument("--backbone", default=BUNDLED, help="with --widths: any known name, with random weights")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="images in a forward pass (default: 1 8)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=41, help="interleaved rounds, at least 15 (default: 41)")
    options = parser.parse_args(arguments)
    if options.rounds < MIN_ROUNDS:
        parser.error(f"--rounds must be at least {MIN_ROUNDS}")
    if options.backbone != BUNDLED and not options.widths:
        parser.error("--backbone needs --widths: an artifact belongs to the bundled backbone")
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values."""
    torch.manual_seed(0)
    backbone = load_backbone(options.backbone, pretrained=options.backbone == BUNDLED)
    variants = make_variants(Engine(backbone), options)
    residents = {name: resident for name, (_, resident) in variants.items()}
    images = torch.randn(max(options.batch), 3, *backbone.preprocessing.size)
    return {
        "benchmark": "pruned",
        "task": "random weights" if options.widths else options.artifact.stem,
        "backbone": backbone.name,
        "rounds": options.rounds,
        **context(PACKAGES),
        "widths": {name: hidden for name, (hidden, _) in variants.items()},
        "flops_per_image": {name: count_flops(backbone, images, it) for name, it in residents.items()},
        "runs": [
            measure(backbone, images[:batch], residents, threads=threads, rounds=options.rounds)
            for threads, batch in product(options.threads, options.batch)
        ],
    }


def report(result: Mapping[str, Any]) -> str:
    """The figures as a table: each baseline as a multiple of the pruned task."""
    flops = result["flops_per_image"]
    lines = [
        f"{result['task']} on {result['backbone']}: {flops['pruned'] / 1e6:.1f} MFLOPs an image; baselines, ratios:"
    ]
    for each in result["runs"]:
        lines.append(f"{each['threads']} threads, batch {each['batch']}, {result['rounds']} rounds:")
        for name, compared in each["comparisons"].items():
            wall, cpu = (
                "{median:.3f} ({low:.3f} … {high:.3f})".format(**compared[kind])
                for kind in ("time_ratio", "cpu_time_ratio")
            )
            lines.append(f"  {name:20} FLOPs {flops[name] / flops['pruned']:.3f}, time {wall}, CPU time {cpu}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    options = parse(arguments)
    result = run(options)
    write_json(options.json, result)
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
