"""JPEGs for the load: crops of two real photographs, each different, the same on every machine.

scikit-learn ships the photographs; nothing is downloaded.
"""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 224  # pixels
QUALITY = 90
_ZOOMS = (1.0, 1.9)  # pixels of the photograph to one of the crop, from … to


def photos(count: int, *, seed: int = 0) -> list[bytes]:
    """So many encoded images, `SIDE` square."""
    rng = np.random.default_rng(seed)
    return [_encoded(crop) for crop in _crops(count, rng)]


def _crops(count: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    sources = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for index in range(count):
        source = sources[index % len(sources)]
        side = round(SIDE * float(rng.uniform(*_ZOOMS)))
        left, top = int(rng.integers(source.width - side + 1)), int(rng.integers(source.height - side + 1))
        box = (left, top, left + side, top + side)
        yield source.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
