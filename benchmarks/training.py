"""Training throughput: ours, with and without the cached prefix, against the loop that most people would write.

Cycles of MiMi whose first live site lies at the input, in the third stage, and in the fourth. All train the same model
with the same augmentation on the same images, ours with frozen products in fp32 and in bf16. The time of a cached cycle
includes computing its cache; the next cycle at the same first live site reuses it.

    python -m benchmarks training --json training.json [--device cuda --workers 8]
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from backbone import load_backbone
from benchmarks.measure import context, interleave, ratios, write_json
from benchmarks.plain_loop import PilImages, check_equal, plain_model, train_plainly
from training.fit import Fitting, build_optimizer, train_epoch
from training.frozen import frozen_backbone
from training.model import AdaptedModel
from training.options import FitOptions, Precision
from training.pixels import PixelSet
from training.prefix import PrefixCache, augmented_views

PLAIN = "plain"
CLASSES = 10
FRACTION = 16  # N = M / 16 from the first live site on: what is left after one pruning
FIT = FitOptions(
    epochs=10, warmup_epochs=1, batch_size=32, learning_rate=1e-3, reference_batch=None, rotate=10, zoom=0.1, jitter=0.4
)


@dataclass(frozen=True, slots=True)
class Way:
    """A variant of our loop."""

    name: str
    precision: Precision
    compiled: bool = False


FP32, BF16 = Way("fp32", "fp32"), Way("bf16", "bf16")
COMPILED = Way("bf16, compiled", "bf16", compiled=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """One model to train, and its images."""

    first: int
    images: PixelSet
    views: int
    device: str = "cpu"
    workers: int = 0
    compiles: bool = False

    def model(self, way: Way = FP32) -> AdaptedModel:
        """Adapters from the first live site on."""
        backbone = load_backbone().to(self.device)
        widths = [site.dim // FRACTION if site.index >= self.first else 0 for site in backbone.sites]
        frozen = frozen_backbone(backbone, way.precision, compiles=way.compiled)
        return AdaptedModel(frozen, widths, CLASSES).to(self.device)

    def plain(self) -> Callable[[], float]:
        """One epoch of the plain loop."""
        model = self.model()
        baseline = plain_model({site: adapter.weights for site, adapter in model.live.items()}, model.head)
        baseline.to(self.device)
        check_equal(model, baseline, self.images.pixels[:8])
        preprocessing = model.backbone.preprocessing
        statistics = (list(preprocessing.mean), list(preprocessing.std))
        images = PilImages(self.images.pixels, self.images.targets, FIT, statistics)
        return partial(train_plainly, baseline, images, FIT, workers=self.workers)

    def ours(self, way: Way) -> Callable[[], float]:
        """One epoch, augmented anew, nothing cached."""
        return partial(self._epochs, self.model(way), FIT, 1)

    def cached(self, way: Way) -> Callable[[], float]:
        """A whole cycle with an empty cache at its start."""
        return partial(self._epochs, self.model(way), self._fit, FIT.epochs)

    def cached_before(self, way: Way) -> Callable[[], float]:
        """A whole cycle that finds in the cache what the cycle before it has computed."""
        cache = PrefixCache(self.images, augmented_views(self._fit, 0))
        return partial(self._epochs, self.model(way), self._fit, FIT.epochs, cache)

    @property
    def _fit(self) -> FitOptions:
        return replace(FIT, views=self.views)

    def _epochs(self, model: AdaptedModel, fit: FitOptions, epochs: int, cache: PrefixCache | None = None) -> float:
        fitting, loss = Fitting(model, build_optimizer(model, fit), fit, 0, cache), 0.0
        for epoch in range(epochs):
            loss = train_epoch(fitting, self.images, cycle=0, epoch=epoch, on_step=lambda progress: None).loss
        return loss

    def loops(self) -> dict[str, Callable[[], float]]:
        """The timed loops by name; each is called once before."""
        found = {PLAIN: self.plain()}
        for way in (FP32, BF16, COMPILED) if self.compiles else (FP32, BF16):
            found[way.name] = self.ours(way)
            found[f"{way.name}, cached"] = self.cached(way)
            found[f"{way.name}, cached before"] = self.cached_before(way)
        return found


def random_images(count: int, device: str = "cpu") -> PixelSet:
    """Noise of the backbone's size: throughput does not depend on what is seen."""
    generator = torch.Generator().manual_seed(0)
    size = load_backbone().preprocessing.size
    pixels = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)
    return PixelSet(pixels.to(device), torch.arange(count) % CLASSES)


PACKAGES = ("torch", "torchvision", "timm", "pillow")
SCENES = {
    "cycle 0": 0,
    "first live site in stage 3": 8,
    "late in stage 3": 16,  # where the bundled tasks begin
    "first live site in stage 4": 20,
}
PEAKS = (PLAIN, "fp32", "fp32, cached", "bf16, cached")  # whose memory is measured


def measure(scene: Scene, *, rounds: int) -> dict[str, object]:
    """Images a second of each system, and ours as multiples of the plain loop's."""
    times = interleave(scene.loops(), rounds=rounds)
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
    """Bytes, from the kernel's own mark: getrusage would include the process before exec."""
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
        scene_of(options.site, random_images(options.images, options.device), options).loops()[options.alone]()
        print(_peak(options.device))
        return 0
    result = run(options)
    write_json(options.json, result)
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
