"""The model that every peer serves: our backbone with one task adapter, as the reference forward has it.

Imported by each peer's own process; knows no server.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adapters_store import TaskAdapter, unpack
from backbone import Backbone, SiteWeights, adapt, decode, load_backbone

SCENE = "BENCHMARK_SCENE"  # variables that tell a peer's process what to do
PORT = "BENCHMARK_PORT"
BATCH = "BENCHMARK_BATCH"
THREADS = "BENCHMARK_THREADS"
TOP_K = 5

Answer = dict[str, list[dict[str, object]]]


class Model:
    """Encoded images in, the most probable labels out."""

    def __init__(self, backbone: Backbone, adapter: TaskAdapter) -> None:
        self.backbone, self.labels = backbone, adapter.manifest.labels
        self._sites = {
            index: SiteWeights(_tensor(site.down), _tensor(site.up)) for index, site in adapter.sites.items()
        }
        self._head = _tensor(adapter.head_weight), _tensor(adapter.head_bias)

    def pixels(self, image: bytes) -> Tensor:
        """Decode and prepare one image: uint8 (H, W, 3)."""
        return torch.from_numpy(self.backbone.preprocessing.pixels(decode(image)).copy())

    @torch.inference_mode()
    def features(self, pixels: Sequence[Tensor]) -> Tensor:
        """Of a batch: (B, F)."""
        features: Tensor = self.backbone(self.backbone.preprocessing.normalize(torch.stack(list(pixels))), self._adapt)
        return features

    @torch.inference_mode()
    def probabilities(self, pixels: Sequence[Tensor]) -> Tensor:
        """Of a batch: (B, K)."""
        return functional.linear(self.features(pixels), *self._head).softmax(1)

    def answers(self, pixels: Sequence[Tensor]) -> list[Answer]:
        """Our own server's answer for each image, without version and FLOPs."""
        best = self.probabilities(pixels).topk(min(TOP_K, len(self.labels)))
        return [self._answer(*row) for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    def _answer(self, probabilities: list[float], indices: list[int]) -> Answer:
        places = zip(probabilities, indices, strict=True)
        return {"predictions": [{"label": self.labels[i], "index": i, "probability": p} for p, i in places]}

    def _adapt(self, index: int, h: Tensor) -> Tensor:
        return adapt(h, self._sites[index]) if index in self._sites else h


def from_environment() -> Model:
    """The model of the scene that this process was given, with its threads set."""
    scene = json.loads(Path(os.environ[SCENE]).read_text(encoding="utf-8"))
    torch.set_num_threads(int(os.environ[THREADS]))
    weights = Path(scene["weights"]) if scene["weights"] else None
    return Model(load_backbone(scene["backbone"], weights=weights), unpack(Path(scene["task"]).read_bytes()))


def number(name: str) -> int:
    """A number from the environment."""
    return int(os.environ[name])


def _tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(array, np.float32))
