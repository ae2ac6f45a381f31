"""Files that become versions of one task, and what each must answer to some images.

New files are the bundled ones with another word in their manifest: other bytes and so other versions, with answers that
are known beforehand. Two that follow each other never answer alike.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from PIL import Image

from adapters_store import TaskAdapter, digest, pack, unpack
from adapters_store.bundled import bundled_tasks
from service.client import Client
from service.schemas import PredictAnswer

TASK = "swapped"
BASES = ("digits", "digits-parity", "pacs-sketch")
TOLERANCE = 1e-4  # of a logit, beside the largest: batches of other sizes round otherwise
EXACT = ("--precision", "fp32")  # for a server that is judged so: by default it may take bf16 while it is being asked
_IMAGES = 8
_SIZE = 64

Logits = Sequence[float]


@dataclass
class Material:
    """Files to publish, and images to ask about.

    Attributes:
        images: encoded.
        wanted: the logits of each base, one list for each image.
        base_of: which base a file was made of, by the file's SHA-256.
    """

    images: tuple[bytes, ...]
    adapters: dict[str, TaskAdapter]
    wanted: dict[str, list[Logits]]
    base_of: dict[str, str] = field(default_factory=dict)

    def files(self) -> Iterator[bytes]:
        """New files for ever, each of the base after the last one's."""
        for number in count():
            base = BASES[number % len(BASES)]
            adapter = self.adapters[base]
            data = pack(replace(adapter, manifest=replace(adapter.manifest, description=f"file {number}")))
            self.base_of[digest(data)] = base
            yield data

    def fits(self, answer: PredictAnswer, image: int) -> bool:
        """Whether an answer is whole: the logits are those of the file that it names."""
        base = self.base_of.get(answer.sha256)
        (result,) = answer.results
        if base is None or result.logits is None or len(result.logits) != len(self.wanted[base][image]):
            return False
        wanted = np.array(self.wanted[base][image])
        return bool(np.abs(wanted - result.logits).max() <= TOLERANCE * max(1.0, np.abs(wanted).max()))


def prepare(client: Client) -> Material:
    """Ask a server that has the bundled tasks, while nothing else happens, what they say."""
    images = tuple(_image(seed) for seed in range(_IMAGES))
    bundled = bundled_tasks()
    wanted = {base: [_logits(client, base, image) for image in images] for base in BASES}
    return Material(images, {base: unpack(bundled[base]) for base in BASES}, wanted)


def _logits(client: Client, task: str, image: bytes) -> Logits:
    (result,) = client.predict(task, image, output="logits").results
    return result.logits or ()


def _image(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (_SIZE, _SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
