"""Shared by all servers of a comparison: the weights, the task adapters, the images.

The first task's head is a set of prototypes, one image each, so that its answers differ from image to image even over
random weights. This shows when a server mixes up images, or prepares them in its own way.
The images are crops of two real photographs, each different, the same on every machine. scikit-learn ships the
photographs; nothing is downloaded.
"""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images

from adapters_store import TaskAdapter, open_store, pack
from backbone import BUNDLED, Backbone, SiteWeights, load_backbone, reference_logits
from benchmarks.serving.asking import Best, task_name
from benchmarks.serving.model import Model
from benchmarks.synthetic import task_adapter

SIDE = 224  # pixels
QUALITY = 90
_ZOOMS = (1.0, 1.9)  # pixels of the photograph to one of the crop, from … to


def photos(count: int, *, seed: int = 0) -> list[bytes]:
    """`count` encoded images, `SIDE` square."""
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


SWIN_T = "swin_tiny_patch4_window7_224"
BACKBONES = {"bundled": BUNDLED, "swin_t": SWIN_T}
TASKS, CLASSES = 64, 16
IMAGES = 512  # more than can be under way: the same image twice in a batch would be computed once
CHECKED = 32  # images, of which every answer is known
_LIVE, _WIDEST = 8, 6  # sites with an adapter, and neurons of the widest: as pruning leaves them
_SHARPNESS = 12.0  # logits of an image's own prototype


@dataclass(frozen=True, slots=True)
class Scene:
    """The files of a comparison, and the right answers.

    Attributes:
        folder: holds the store, the first task, random weights, some of the images, and `scene.json`, which says so.
        backbone: its name.
        images: encoded.
        expected: the first task's answers to the first images.
        tasks: each task's answer to the first image.
    """

    folder: Path
    backbone: str
    images: list[bytes]
    expected: list[Best]
    tasks: list[Best]

    @property
    def weights(self) -> Path | None:
        """A file with weights; None if the backbone brings its own."""
        return None if self.backbone == BUNDLED else self.folder / "weights.safetensors"


def make(name: str, folder: Path) -> Scene:
    """Prepare a scene over a backbone in an empty folder."""
    weights = None
    if name != BUNDLED:
        weights = folder / "weights.safetensors"
        torch.manual_seed(0)
        save_file(timm.create_model(name, num_classes=0).state_dict(), weights)
    backbone, images = load_backbone(name, weights=weights), photos(IMAGES)
    adapters = [_adapter(backbone, seed) for seed in range(TASKS)]
    adapters[0] = _with_prototypes(backbone, adapters[0], images)
    (folder / "task.safetensors").write_bytes(pack(adapters[0]))
    _publish(adapters, folder / "store.db")
    models = [Model(backbone, adapter) for adapter in adapters]
    expected = [_first(models[0], image) for image in images[:CHECKED]]
    scene = Scene(folder, name, images, expected, [_first(model, images[0]) for model in models])
    _tell_others(scene)
    return scene


def _tell_others(scene: Scene) -> None:
    """Write the files that peers and the engine alone read."""
    weights = str(scene.weights) if scene.weights else None
    told = {"backbone": scene.backbone, "weights": weights, "task": str(scene.folder / "task.safetensors")}
    (scene.folder / "images").mkdir()
    for number, image in enumerate(scene.images[:CHECKED]):
        (scene.folder / "images" / f"{number:03}.jpg").write_bytes(image)
    (scene.folder / "scene.json").write_text(json.dumps(told), encoding="utf-8")


def _adapter(backbone: Backbone, seed: int) -> TaskAdapter:
    rng, widths = np.random.default_rng(seed), [0] * len(backbone.sites)
    for place, site in enumerate(rng.choice(len(widths), _LIVE, replace=False)):
        widths[site] = 1 + place % _WIDEST  # the same sum for every task: only the sites differ
    return task_adapter(backbone, widths, classes=CLASSES, seed=seed)


def _with_prototypes(backbone: Backbone, adapter: TaskAdapter, images: Sequence[bytes]) -> TaskAdapter:
    """The task with a new head, which gives class i to image i and to similar images, and a new golden sample."""
    model = Model(backbone, adapter)
    features = model.features([model.pixels(image) for image in images[:CHECKED]]).numpy()
    centre = features.mean(0)
    prototypes = features[: len(adapter.manifest.labels)] - centre
    weight = prototypes / (prototypes**2).sum(1, keepdims=True) * _SHARPNESS
    headed = replace(adapter, head_weight=weight.astype(np.float32), head_bias=(-weight @ centre).astype(np.float32))
    sites = {
        index: SiteWeights(torch.tensor(site.down), torch.tensor(site.up)) for index, site in adapter.sites.items()
    }
    head = torch.tensor(headed.head_weight), torch.tensor(headed.head_bias)
    return replace(headed, golden_logits=reference_logits(backbone, sites, head, headed.golden_image))


def _publish(adapters: Sequence[TaskAdapter], path: Path) -> None:
    with closing(open_store(str(path))) as store:
        for number, adapter in enumerate(adapters):
            store.publish(task_name(number), pack(adapter))


def _first(model: Model, image: bytes) -> Best:
    probabilities = model.probabilities([model.pixels(image)])[0]
    index = int(probabilities.argmax())
    return Best(model.labels[index], float(probabilities[index]))
