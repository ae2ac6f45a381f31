"""Effects of decoding a large JPEG at a fraction of its size: on time, on pixels, and on the answers of the tasks.

Over mosaics of real photographs, of a camera's size, and every bundled task.

    python -m benchmarks studies.draft --json draft.json
"""

import argparse
import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import adapters_store
from adapters_store import digest, unpack
from backbone import Preprocessing, decode, load_backbone
from benchmarks.measure import context, write_json
from service.engine import Engine, Resident, Row

BUNDLED = Path(adapters_store.__file__).parent / "bundled"
PACKAGES = ("torch", "pillow", "numpy")
QUALITY, TILES = 90, 4

Pair = tuple[np.ndarray, np.ndarray]  # pixels decoded whole, and as a draft


def mosaics(count: int, *, seed: int = 0) -> Iterator[bytes]:
    """JPEGs as large as a camera's, and as sharp: crops of two photographs side by side, `TILES` each way."""
    sources, rng = [Image.fromarray(pixels) for pixels in load_sample_images().images], np.random.default_rng(seed)
    for _ in range(count):
        width, height = (int(rng.integers(side // 2, side + 1)) for side in sources[0].size)
        image = Image.new("RGB", (width * TILES, height * TILES))
        for place in product(range(0, image.width, width), range(0, image.height, height)):
            source = sources[int(rng.integers(len(sources)))]
            left, top = int(rng.integers(source.width - width + 1)), int(rng.integers(source.height - height + 1))
            image.paste(source.crop((left, top, left + width, top + height)), place)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=QUALITY)
        yield file.getvalue()


def timed(preprocessing: Preprocessing, data: bytes, enough: int | None) -> tuple[np.ndarray, float]:
    """The pixels of an image, and the seconds of this thread's core that they took."""
    start = time.thread_time()
    pixels = preprocessing.pixels(decode(data, enough=enough))
    return pixels, time.thread_time() - start


def changed(engine: Engine, task: Resident, pairs: Sequence[Pair]) -> dict[str, float]:
    """The change of a task's answers: of its logits, against their spread over the classes, and of the first label."""
    moved, relative, same = [], [], 0
    for pair in pairs:
        whole, draft = (result.logits for result in engine.run([Row(task, pixels) for pixels in pair]))
        moved.append(float(np.abs(whole - draft).max()))
        relative.append(moved[-1] / float(np.ptp(whole)))
        same += int(whole.argmax() == draft.argmax())
    return {
        "same_top1": same / len(pairs),
        "logit_change_median": median(moved),
        "logit_change_largest": max(moved),
        "logit_change_of_range_median": median(relative),
    }


def run(count: int) -> dict[str, object]:
    """Everything measured, as JSON values."""
    engine = Engine(load_backbone())
    preprocessing = engine.backbone.preprocessing
    pairs, ratios = [], []
    for data in mosaics(count):
        (whole, slow), (draft, fast) = (timed(preprocessing, data, enough) for enough in (None, preprocessing.enough))
        pairs.append((whole, draft))
        ratios.append(slow / fast)
    tasks = {file.stem: file.read_bytes() for file in sorted(BUNDLED.glob("*.safetensors"))}
    residents = {name: engine.admit(unpack(data), digest(data)) for name, data in tasks.items()}
    return {
        "benchmark": "draft",
        "images": count,
        **context(PACKAGES),
        "cpu_time_ratio_median": median(ratios),
        "pixel_change_mean": float(np.mean([np.abs(a.astype(float) - b.astype(float)).mean() for a, b in pairs])),
        "tasks": {name: changed(engine, resident, pairs) for name, resident in residents.items()},
    }


def report(result: Mapping[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        f"{result['images']} JPEGs: decoding whole takes {result['cpu_time_ratio_median']:.2f} times as long; "
        f"a draft's pixels differ by {result['pixel_change_mean']:.2f} of 255"
    ]
    row = "  {0:14} same first label {same_top1:.3f}, logits move by {logit_change_of_range_median:.4f} of their range"
    return "\n".join([*lines, *(row.format(name, **told) for name, told in result["tasks"].items())])


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.draft", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--images", type=int, default=200, help="how many (default: 200)")
    options = parser.parse_args(arguments)
    result = run(options.images)
    write_json(options.json, result)
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
