"""Training throughput: ours, with and without the cached prefix, against the loop that most people would write.

Cycles of MiMi whose first live site lies at the input, in the third stage, and in the fourth. All train the same
model with the same augmentation on the same images, ours with frozen products in fp32 and in bf16; a cached cycle
counts the computing of its cache, the next one at the same first live site finds it there.

    python -m benchmarks.training --json training.json [--device cuda --workers 8]
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import context, interleave, ratios, write_json
from benchmarks.training_scene import FIT, PLAIN, Scene, random_images
from training.pixels import PixelSet

PACKAGES = ("torch", "torchvision", "timm", "pillow")
SCENES = {
    "cycle 0": 0,
    "first live site in stage 3": 8,
    "late in stage 3": 16,  # where the bundled tasks begin
    "first live site in stage 4": 20,
}
PEAKS = (PLAIN, "fp32", "fp32, cached", "bf16, cached")  # whose memory is measured


def measure(scene: Scene, *, rounds: int) -> dict[str, object]:
    """Images a second of each contestant, and ours as multiples of the plain loop's."""
    times = interleave(scene.contestants(), rounds=rounds)
    images = {name: len(scene.images) * (FIT.epochs if "cached" in name else 1) for name in times}
    rates = {name: [images[name] / seconds for seconds in each.seconds] for name, each in times.items()}
    return {
        "first_live_site": scene.first,
        "images_per_second": {name: sorted(each)[len(each) // 2] for name, each in rates.items()},
        "against_plain": {name: asdict(ratios(each, rates[PLAIN])) for name, each in rates.items() if name != PLAIN},
        "times": {name: asdict(each) for name, each in times.items()},
    }


def peak_memory(first: int, name: str, options: argparse.Namespace) -> int:
    """Largest resident set, or most memory of the device, in bytes: of a process that does nothing but train."""
    command = [sys.executable, "-m", "benchmarks.training", "--json", "-", "--alone", name, "--site", str(first)]
    command += [f"--{key}={getattr(options, key)}" for key in ("images", "views", "workers", "device")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def _peak(device: str) -> int:
    """Bytes; from the kernel's own mark, because getrusage goes on from that of the process before exec."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--images", type=int, default=128, help="in the set (default: 128)")
    parser.add_argument("--views", type=int, default=5, help=f"of each image, in {FIT.epochs} epochs (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="of the process that trains (default: 1)")
    parser.add_argument("--workers", type=int, default=0, help="processes of the plain loop's loader (default: 0)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="to train on (default: cpu)")
    parser.add_argument("--compile", action="store_true", help="also with compiled sub-layers, which takes minutes")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds, at least 6 (default: 7)")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--site", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values."""
    images = random_images(options.images, options.device)
    found: dict[str, object] = {}
    for name, first in SCENES.items():
        scene = scene_of(first, images, options)
        peaks = {each: peak_memory(first, each, options) for each in PEAKS}
        found[name] = {**measure(scene, rounds=options.rounds), "peak_bytes": peaks}
    chosen = {key: getattr(options, key) for key in ("images", "views", "device", "threads", "workers", "rounds")}
    return {"benchmark": "training", **chosen, "fit": asdict(FIT), **context(PACKAGES), "scenes": found}


def scene_of(first: int, images: PixelSet, options: argparse.Namespace) -> Scene:
    """The scene that the command line asks for."""
    return Scene(first, images, options.views, options.device, options.workers, options.compile)


def report(result: Mapping[str, Any]) -> str:
    """The figures as a table."""
    lines = ["images a second; against the plain loop; peak memory"]
    for name, scene in result["scenes"].items():
        lines.append(name)
        for each, rate in scene["images_per_second"].items():
            ratio, peak = scene["against_plain"].get(each), scene["peak_bytes"].get(each)
            versus = "{median:.2f} ({low:.2f} … {high:.2f})".format(**ratio) if ratio else ""
            memory = f"{peak / 2**20:7.0f} MiB" if peak else ""
            lines.append(f"  {each:29}{rate:8.1f}  {versus:22} {memory}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    if options.alone:
        scene_of(options.site, random_images(options.images, options.device), options).contestants()[options.alone]()
        print(_peak(options.device))
        return 0
    result = run(options)
    write_json(options.json, result)
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
